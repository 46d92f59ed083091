"""`bin/market`: every module of `commands` that holds a `command`, found by its name."""

import importlib
import importlib.util
import pkgutil
import sys
from typing import NoReturn

import click

from config.settings import SettingsError
from marketplace import commands
from marketplace.kernel.errors import InvalidInput, MarketplaceError

FAILED, WRONG_USE = 1, 2
NOT_COMMANDS = {"output"}


class Commands(click.Group):
    """Loads a command only when it is asked for: the market's commands need quite different things."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands."""
        found = (module.name for module in pkgutil.iter_modules(commands.__path__))
        return sorted(name.replace("_", "-") for name in found if name not in NOT_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load one command."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"{commands.__name__}.{cmd_name.replace('-', '_')}")
        found = getattr(module, "command", None)
        return found if isinstance(found, click.Command) else None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def market() -> None:
    """Duebill, a marketplace for receivables."""


def main() -> NoReturn:
    """Run the command line: 0 when done, 1 when it failed, 2 when it was used wrongly."""
    try:
        market(prog_name="bin/market")
    except MarketplaceError as error:
        click.echo(f"{error.code}: {error.said()}", err=True)
        for problem in error.problems:
            if problem.said() not in error.said():
                click.echo(f"  {problem.field}: {problem.said()}" if problem.field else f"  {problem.said()}", err=True)
        sys.exit(WRONG_USE if isinstance(error, InvalidInput) else FAILED)
    except SettingsError as error:
        click.echo(str(error), err=True)
        sys.exit(FAILED)
    sys.exit(0)
