"""`ringctl gate`: what gates saw, what they could see, and judging without a rollout."""

from ringctl.cli import gate_backtest, gate_check, gate_plan, gate_show

COMMANDS = {
    **gate_show.COMMANDS,
    **gate_backtest.COMMANDS,
    **gate_check.COMMANDS,
    **gate_plan.COMMANDS,
}
