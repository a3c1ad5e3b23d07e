"""The command line: `meridian serve`, `local`, `migrate`, `doctor`, `route`, `map`, `account`, `demo`, `edge`."""

import sys

from cyclopts import App

from gateway.cli import account, demo, doctor, edge, local, map, migrate, route, serve

app = App(name="meridian", help="Place every user's data in their own region, and find it there.")
app.command(serve.serve)
app.command(local.local)
app.command(migrate.migrate)
app.command(doctor.doctor)
app.command(route.route)
app.command(map.app)
app.command(account.account)
app.command(demo.demo)
app.command(edge.app)


def main() -> None:
    """Run the command that the arguments name; the exit status is the command's."""
    sys.exit(app(result_action="return_value"))
