/* One account under claim, lease, fence, shim, rescue, hold and amendment: ringctl's protocol for spin.

   The store is one writer at a time: each of its transactions is one `atomic` block with the guard of the SQL
   statement it stands for (ringctl/stores/sql/claims.sql, rollouts.sql). Everything between two blocks may take
   for ever: a paused node, a slow network and a clock that jumps on a node are all just that.

   Time is a set of timers that count down together. A shim is the only thing that is punctual: the clock does not
   go on while a step is alive that its shim should have killed by now.

   Two tasks: 0 is the account under r1, 1 the same account under r2, after an amendment. Two steps: the first has
   the same bytes in both revisions, the second was changed.

   BUG_* seed one mistake each (see docs/explanation/model.md); the right model has no error. */

#ifndef NODES
#define NODES 2
#endif
#ifndef CLAIMS
#define CLAIMS 3                /* most claims: a bound of the model, the product has none */
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef HOLDS
#define HOLDS 1
#endif
#ifndef STEPS
#define STEPS 2
#endif
#ifndef AMENDS
#define AMENDS 1
#endif
#define NOBODY NODES            /* in `holder` */

#define LEASE 1                 /* ticks: a session's lease */
#define STEP 1                  /* a step's time-out */
#define KILL 1                  /* the longest that a shim takes to kill */
#ifdef BUG_NO_GRACE
#define GRACE 0
#else
#define GRACE (KILL + 1)        /* after the lease, before anybody takes over */
#endif
#define OVERDUE (STEP + KILL + 1)
#define NEVER 15                /* a timer that is not set */

/* -- the store ------------------------------------------------------------------------------------ */
mtype:task = { WAITING, PENDING, RUNNING, DONE, FAILED, UNKNOWN, CANCELLED };
mtype:effect = { NONE, INTENT, TOOK, FAILS, DOUBT };
mtype:task state[2];
mtype:effect effect[4];         /* of task t, step s: 2 * t + s */
byte claim[2];                  /* the current claim of the task; 0: none */
byte holder[2];                 /* its session */
bit resolving[2];               /* an open step must be settled first */
bit tried[2];                   /* nobody knew: waits for a person */
bit cancel[2];
byte deadline[2];               /* ticks until the open step is overdue */
byte claims = 0;                /* ids given out: never the same twice */
bit held = 0;                   /* a hold or pause: its wave admits nobody */
bit withdrawn = 0;              /* r1 was amended away */
bit drawn = 0;                  /* r2 has its task */
/* A node's session. Its next one takes the same row, once the old one is cleared: a node that comes back sooner is
   no worse than another node, and there is one. */
bit dead[NODES];
bit cleared[NODES];             /* nothing of it is left to rescue: not looked at again */
short lease[NODES];             /* ticks to its end; below 0: over since */

/* -- the nodes and the world ---------------------------------------------------------------------- */
mtype:child = { NOCHILD, ALIVE, EXITED, ERRED, KILLED };
mtype:child child[NODES];
bit done_it[NODES];             /* this child's effect has happened */
byte child_of[NODES];           /* 2 * task + step */
short right[NODES];             /* ticks that the node's lease lasts, by its own clock; the shim knows it too */
short timeout_in[NODES];        /* ticks to the step's time-out */
bit busy[NODES];                /* the worker has a claim in hand */
bit lost[NODES];                /* the node knows that its session is over, or has none yet */
bit die[NODES];                 /* to a worker: its process is gone */
byte applied[3];                /* by bytes: the first step, the second of r1, the second of r2 */
byte crashes = 0, holds = 0;

#define BYTES(e) (((e) == 0 || (e) == 2) -> 0 : (((e) == 1) -> 1 : 2))
#define OPEN(e) (effect[e] == INTENT || effect[e] == DOUBT)
#define IN_DOUBT(t) (OPEN(2 * (t)) || OPEN(2 * (t) + 1))
#define HALF(t) (effect[2 * (t)] == TOOK || effect[2 * (t) + 1] == TOOK || IN_DOUBT(t))
#define FINAL(t) (state[t] == DONE || state[t] == CANCELLED)

/* admitting_wave: a hold stops both revisions, a withdrawal the first for good */
#define ADMITTING(t) (!held && ((t) == 0 -> !withdrawn : drawn))

#ifdef BUG_NO_CLAIM_ID
#define MINE(t, c) (state[t] == RUNNING)
#else
#define MINE(t, c) (state[t] == RUNNING && claim[t] == (c))
#endif

/* P3: whoever writes is the current holder */
inline by_holder(t, c) { assert(state[t] == RUNNING && claim[t] == c) }

/* P8: an end is an end */
inline become(t, what) {
  assert(!FINAL(t));
  /* P5: done is done: each step took effect, once */
  assert(what != DONE || (applied[0] == 1 && (STEPS == 1 || applied[BYTES(2 * t + 1)] == 1)));
  state[t] = what
}

/* given_back: what a task becomes that nobody runs and of which no step is under way */
inline give_back(t) {
  claim[t] = 0; holder[t] = NOBODY; deadline[t] = NEVER; cancel[t] = 0;
  if
  :: t == 1 || !withdrawn -> resolving[t] = IN_DOUBT(t); become(t, PENDING)
#ifdef BUG_HALF_IS_CANCELLED
  :: else -> become(t, CANCELLED); assert(!HALF(t))
#else
  :: t == 0 && withdrawn && HALF(t) -> become(t, UNKNOWN)
  :: t == 0 && withdrawn && !HALF(t) -> become(t, CANCELLED)
#endif
  fi
}

inline end_claim(t, what) {
  claim[t] = 0; holder[t] = NOBODY; deadline[t] = NEVER; cancel[t] = 0;
  if
  :: what == UNKNOWN && resolving[t] -> tried[t] = 1
  :: else
  fi;
  resolving[t] = 0;
  become(t, what)
}

/* P1, P7: one step of the account at a time, of whatever revision */
inline alone(n) {
  assert(child[n] != ALIVE);
  assert(NODES == 1 || child[NODES - 1 - n] != ALIVE)
}

/* -- time ----------------------------------------------------------------------------------------- */
#define RIGHT_OVER(n) (right[n] <= 0 || timeout_in[n] <= 0)
#ifdef BUG_NO_SHIM
#define PUNCTUAL(n) true
#else
#define PUNCTUAL(n) (child[n] != ALIVE || (right[n] > -KILL && timeout_in[n] > -KILL))
#endif

inline down(timer, floor) { timer = (timer > floor -> timer - 1 : timer) }

proctype Clock() {
  byte i;
  do
  :: d_step { PUNCTUAL(0) && PUNCTUAL(NODES - 1) ->
       do
       :: i < NODES ->
            if
            :: busy[i] || lost[i] || dead[i] -> down(right[i], -KILL); down(lease[i], -(KILL + 1))
            :: else                                        /* without work a node's lease does not matter */
            fi;
            if :: timeout_in[i] != NEVER -> down(timeout_in[i], -KILL) :: else fi;
            i++
       :: else -> break
       od;
       i = 0;
       do
       :: i < 2 -> if :: deadline[i] != NEVER -> down(deadline[i], 0) :: else fi; i++
       :: else -> break
       od;
       i = 0
     }
  od
}

/* -- the step's process: it runs on while its node is paused ---------------------------------------- */
inline ended(n, how) { child[n] = how; done_it[n] = 0; child_of[n] = 0; timeout_in[n] = NEVER }

proctype Child(byte n) {
  do
  :: atomic { child[n] == ALIVE && !done_it[n] ->
       assert(OPEN(child_of[n]));          /* P4: nothing happens of which the store does not know that it may */
       /* P7: nothing of r1 happens once r2 has begun */
       assert(child_of[n] >= 2 || effect[2] == NONE && effect[3] == NONE);
       applied[BYTES(child_of[n])]++;
       assert(applied[BYTES(child_of[n])] == 1);         /* P2: once */
       done_it[n] = 1 }
  :: d_step { child[n] == ALIVE && done_it[n] -> ended(n, EXITED) }
  :: d_step { child[n] == ALIVE && !done_it[n] -> ended(n, ERRED) }
#ifndef BUG_NO_SHIM
  :: d_step { child[n] == ALIVE && RIGHT_OVER(n) -> ended(n, KILLED) }
#endif
  od
}

/* -- rescue: tasks that nobody runs ------------------------------------------------------------------- */
#define SESSION_OVER(t) (lease[holder[t]] <= -GRACE && lease[holder[t]] < 0)
#define ORPHAN(t) (state[t] == RUNNING && (SESSION_OVER(t) || deadline[t] == 0))
#ifdef BUG_ONLY_THE_HOLDER_CANCELS
#define RESCUABLE(t) (ORPHAN(t) && !((t) == 0 && withdrawn))
#else
#define RESCUABLE(t) ORPHAN(t)
#endif

inline rescue(t) {
  if
  :: IN_DOUBT(t) ->
       if :: effect[2 * t] == INTENT -> effect[2 * t] = DOUBT :: else fi;
       if :: effect[2 * t + 1] == INTENT -> effect[2 * t + 1] = DOUBT :: else fi;
       claim[t] = 0; holder[t] = NOBODY; deadline[t] = NEVER; cancel[t] = 0; resolving[t] = 0;
       become(t, UNKNOWN)
  :: else -> give_back(t)
  fi
}

/* -- a node: the beat ------------------------------------------------------------------------------
   It is asked for and stored in one block: nothing later could make the lease longer for the node than it is in the
   store. The answer may come late. A node without work lets its session go. */
#define STRANGE(n, t) (!busy[n] && !lost[n] && !dead[n] && state[t] == RUNNING && holder[t] == n)

proctype Beat(byte n) {
  bit renewed;
  do
  :: d_step { busy[n] && !lost[n] ->
#ifdef BUG_RENEW_AFTER_EXPIRY
         lease[n] = LEASE; dead[n] = 0; renewed = 1
#else
         if
         :: !dead[n] -> lease[n] = LEASE; renewed = 1
         :: else
         fi
#endif
       };
       d_step {                                            /* answered; the shim is told */
         if
         :: lost[n]                                        /* the process is gone */
         :: !lost[n] && !renewed -> right[n] = -KILL; lost[n] = 1
#ifdef BUG_LATE_DEADLINE
         :: else -> right[n] = LEASE
#else
         :: else -> right[n] = (lease[n] > right[n] -> lease[n] : right[n])     /* counted from when it asked */
#endif
         fi;
         renewed = 0
       }
#ifndef BUG_STRANGE_CLAIMS_STAY
  /* abandon: a claim of this session that the node does not know of; no rescue would find it while the session lives */
  :: atomic { STRANGE(n, 0) -> rescue(0) }
  :: atomic { STRANGE(n, 1) -> rescue(1) }
#endif
  od
}

/* -- a node: the worker ----------------------------------------------------------------------------- */
#define ASKABLE(t) (state[t] == UNKNOWN && !tried[t] && IN_DOUBT(t))
#define LIVING(n) (!lost[n] && !dead[n] && claims < CLAIMS)
#ifdef BUG_CLAIM_IS_NOT_GUARDED
#define TAKEABLE(t) (state[t] == PENDING || state[t] == RUNNING)
#else
#define TAKEABLE(t) (state[t] == PENDING)
#endif


inline take(n, which) {
  assert(!cleared[n]);                                 /* P9: somebody watches over every claim */
  claims++; mine = claims; t = which;
  state[t] = RUNNING; claim[t] = mine; holder[t] = n; deadline[t] = NEVER; cancel[t] = 0;
  busy[n] = 1
}

/* A write under the claim, or the end of the work on it. */
#define HELD if :: MINE(t, mine) -> by_holder(t, mine) :: else -> goto again fi

/* Something of these bytes is known from r1, or is in doubt there. */
#define INHERITED(e) ((e) == 2 && effect[2] == NONE && (OPEN(0) || effect[0] == TOOK))

proctype Worker(byte n) {
  byte t, s, mine;
  mtype:effect came;
again:
  { do
    :: d_step { child[n] != ALIVE ->                   /* a new process comes when the shim of the old one is done */
         busy[n] = 0;
         if :: !dead[n] && !lost[n] -> lease[n] = LEASE; right[n] = LEASE :: else fi;
         ended(n, NOCHILD); t = 0; s = 0; mine = 0; came = NONE };
       if
       :: d_step { (lost[n] || dead[n]) && cleared[n] ->
            dead[n] = 0; cleared[n] = 0; lost[n] = 0; lease[n] = LEASE; right[n] = LEASE }; goto again
#ifdef BUG_CLAIM_LOOKS_EARLIER
       :: ADMITTING(0) -> d_step { LIVING(n) && TAKEABLE(0) -> assert(ADMITTING(0)); take(n, 0) }
       :: ADMITTING(1) -> d_step { LIVING(n) && TAKEABLE(1) -> assert(ADMITTING(1)); take(n, 1) }
#else
       /* P6 is the guard itself here: after a hold or an amendment no claim begins */
       :: d_step { LIVING(n) && ADMITTING(0) && TAKEABLE(0) -> take(n, 0) }
       :: d_step { LIVING(n) && ADMITTING(1) && TAKEABLE(1) -> take(n, 1) }
#endif
       :: d_step { LIVING(n) && ASKABLE(0) -> take(n, 0); resolving[0] = 1 }
       :: d_step { LIVING(n) && ASKABLE(1) -> take(n, 1); resolving[1] = 1 }
       fi;
       if
       :: skip
       :: goto again                                       /* the answer to its commit was lost */
       fi;
       /* an unknown outcome is settled before anything runs: ledger or probe, else nobody knows */
       do
       :: d_step { resolving[t] && s < STEPS && !OPEN(2 * t + s) -> s++ }
       :: resolving[t] && s < STEPS && OPEN(2 * t + s) ->
          if
#ifdef BUG_BLIND_RETRY
          :: came = FAILS
#else
          :: came = (applied[BYTES(2 * t + s)] > 0 -> TOOK : FAILS)
#endif
          :: came = DOUBT
          fi;
          atomic {
            HELD;
            if
            :: came == DOUBT -> end_claim(t, UNKNOWN); goto again
            :: else ->
                 effect[2 * t + s] = came;
#ifndef BUG_BLIND_RETRY
                 assert((came == TOOK) == (applied[BYTES(2 * t + s)] > 0));     /* P5: a settled outcome is true */
#endif
                 came = NONE; s++
            fi }
       :: d_step { !resolving[t] || s == STEPS -> s = 0 }; break
       od;
       atomic { if :: resolving[t] -> HELD; resolving[t] = 0 :: else fi };
       /* the steps in order */
       do
       :: d_step { s < STEPS && effect[2 * t + s] == TOOK -> s++ }
       :: atomic { s < STEPS && effect[2 * t + s] != TOOK -> HELD; give_back(t); goto again }     /* told to stop */
#ifndef BUG_AMENDMENT_FORGETS
       :: atomic { s < STEPS && INHERITED(2 * t + s) ->    /* what r1 began of these very bytes is asked for first */
            if
            :: OPEN(0) -> came = DOUBT
            :: effect[0] == TOOK || applied[0] > 0 -> came = TOOK
            :: effect[0] != TOOK && applied[0] == 0 -> came = FAILS
            fi };
          atomic {
            HELD;
            effect[2] = came;
            if
            :: came == DOUBT -> end_claim(t, UNKNOWN); goto again
            :: else -> came = NONE
            fi }
       :: s < STEPS && effect[2 * t + s] != TOOK && !INHERITED(2 * t + s) ->
#else
       :: s < STEPS && effect[2 * t + s] != TOOK ->
#endif
          /* intent: stored before anything is sent; the time-out counts from here at the latest */
          atomic {
            HELD;
            if :: cancel[t] -> goto again :: else fi;       /* refused: the claim is left, the beat gives it up */
            assert(effect[2 * t + s] == NONE || effect[2 * t + s] == FAILS);   /* never begun twice in blindness */
#ifndef BUG_NO_INTENT
            effect[2 * t + s] = INTENT;
#endif
            deadline[t] = OVERDUE; timeout_in[n] = STEP };
          /* the shim starts the step, or is too late */
          atomic {
            if
#ifdef BUG_NO_START_CHECK
            :: true ->
#else
            :: RIGHT_OVER(n) -> ended(n, ERRED)                                /* late: nothing was sent */
            :: else ->
#endif
                 alone(n); child[n] = ALIVE; child_of[n] = 2 * t + s
            fi };
          atomic { child[n] != ALIVE ->
            if
            :: child[n] == EXITED -> came = TOOK
            :: child[n] == ERRED -> came = FAILS
            :: child[n] == EXITED || child[n] == KILLED -> came = DOUBT        /* an answer that was lost, too */
            fi;
            child[n] = NOCHILD };
          /* result */
          d_step { MINE(t, mine) -> by_holder(t, mine); effect[2 * t + s] = came; deadline[t] = NEVER };
          /* finish, where it does not go on */
          atomic {
            if
            :: came == TOOK -> came = NONE; s++
            :: came == DOUBT -> HELD; end_claim(t, UNKNOWN); goto again
            :: came == FAILS -> HELD; end_claim(t, FAILED); goto again
            :: came == FAILS -> HELD; give_back(t); goto again                 /* unreachable, or too late */
            fi }
       :: s == STEPS -> break
       od;
       atomic { HELD; end_claim(t, DONE) }
    od
  } unless { d_step { die[n] -> die[n] = 0 } };
  goto again
}

/* -- rescue, on every tick of every node: sessions ---------------------------------------------------- */
/* kill_sessions, clear_session */
#define LATE(k) (!dead[k] && lease[k] < 0)
#define EMPTY(k) (dead[k] && !cleared[k] && lease[k] <= -(KILL + 1) && holder[0] != (k) && holder[1] != (k))

proctype Rescuer() {
  do
  :: d_step { LATE(0) -> dead[0] = 1 }
  :: d_step { EMPTY(0) -> cleared[0] = 1 }
#if NODES > 1
  :: d_step { LATE(1) -> dead[1] = 1 }
  :: d_step { EMPTY(1) -> cleared[1] = 1 }
#endif
#ifdef BUG_RESCUE_IGNORES_STATE
  :: RESCUABLE(0) -> atomic { rescue(0) }
  :: RESCUABLE(1) -> atomic { rescue(1) }
#else
  :: atomic { RESCUABLE(0) -> if :: SESSION_OVER(0) -> dead[holder[0]] = 1 :: else fi; rescue(0) }
  :: atomic { RESCUABLE(1) -> if :: SESSION_OVER(1) -> dead[holder[1]] = 1 :: else fi; rescue(1) }
#endif
  od
}

/* -- people: hold, lift, amend; the controller draws the account for the new revision ---------------- */
#ifdef BUG_DRAWN_WHILE_IT_RUNS
#define DRAWABLE (state[0] != DONE)
#else
#define DRAWABLE (state[0] != DONE && state[0] != RUNNING)
#endif

proctype People() {
  do
  :: atomic { holds < HOLDS && !held -> held = 1; holds++ }
  :: atomic { held -> held = 0 }
  :: atomic { AMENDS && !withdrawn ->                             /* amend: revision and withdrawal, one transaction */
       withdrawn = 1;
       if
       :: state[0] == PENDING && HALF(0) -> become(0, UNKNOWN)
       :: state[0] == PENDING && !HALF(0) -> become(0, CANCELLED)
       :: state[0] == RUNNING -> cancel[0] = 1          /* abort --now */
       :: state[0] == RUNNING                           /* its holder hears of it between two steps, or not */
       :: else
       fi }
  :: atomic { withdrawn && !drawn && DRAWABLE ->
       if
       :: state[0] == UNKNOWN || state[0] == FAILED -> resolving[0] = 0; become(0, CANCELLED)
       :: else
       fi;
       drawn = 1; state[1] = PENDING }
  od
}

/* kill -9 of node 0 (the nodes are alike): a new process follows; the shim sees its node go */
proctype Crashes() {
  do
  :: d_step { crashes < CRASHES && busy[0] ->
       crashes++; lost[0] = 1; die[0] = 1;
       if :: right[0] > 0 -> right[0] = 0 :: else fi }
  od
}

init {
  byte n;
  atomic {
    state[0] = PENDING; state[1] = WAITING;
    effect[0] = NONE; effect[1] = NONE; effect[2] = NONE; effect[3] = NONE;
    holder[0] = NOBODY; holder[1] = NOBODY; deadline[0] = NEVER; deadline[1] = NEVER;
    do
    :: n < NODES ->
         child[n] = NOCHILD; lost[n] = 1; dead[n] = 1; cleared[n] = 1; lease[n] = -(KILL + 1); right[n] = -KILL; timeout_in[n] = NEVER;
         run Worker(n); run Beat(n); run Child(n); n++
    :: else -> break
    od;
    run Clock(); run Rescuer(); run People(); run Crashes()
  }
}

/* L1: what was withdrawn does not stay under way. L2: the account is then given to the new revision, if not done. */
ltl cancel_ends { [] (withdrawn -> <> (state[0] != RUNNING)) }
ltl drawn_in_the_end { [] (withdrawn -> <> (drawn || state[0] == DONE)) }
