"""Prints the report at the end of a nose2 run: what the databases cost, and what was left open.

Name the plugin in ``unittest.cfg``; nothing else changes::

    [unittest]
    plugins = dbtestcase.nose2

    [database-report]
    always-on = True

It works with ``nose2.plugins.mp``: what each process of the run noted is in the one report.
"""

from __future__ import annotations

from typing import Any

from nose2 import events  # type: ignore[import-untyped]

from . import report

__unittest = True


class DatabaseReport(events.Plugin):  # type: ignore[misc]
    """Prints the report after the summary; ``--database-report`` asks for it once.

    Implements ``startTestRun`` and ``afterSummaryReport``; in the processes of
    ``nose2.plugins.mp``, ``startSubprocess`` and ``stopSubprocess``.
    """

    configSection = "database-report"
    commandLineSwitch = (
        None,
        "database-report",
        "Say what the databases cost and what was left open",
    )

    def __init__(self) -> None:
        self.file = self.config.as_str("file", "")
        self.lines = self.config.as_int("lines", report.LINES)
        self.addArgument(
            self.ask_for_file,
            None,
            "database-report-file",
            "Write the database report to this file, too (.json, .html, or text)",
        )

    def ask_for_file(self, values: Any) -> None:
        """Take the name of a file from the command line; it also asks for the report."""
        self.file = values[0]
        self._register_cb()

    def startTestRun(self, event: Any) -> None:
        """Note everything from now on, before workers are forked."""
        report.turn_on()

    def registerInSubprocess(self, event: Any) -> None:
        """Have the plugin in the processes that run tests, too."""
        event.pluginClasses.append(type(self))

    def startSubprocess(self, event: Any) -> None:
        """Note everything, where the process was not forked from one that does."""
        report.turn_on()

    def stopSubprocess(self, event: Any) -> None:
        """Note what is left; the process that began makes the report."""
        report.finish()

    def afterSummaryReport(self, event: Any) -> None:
        """Print the report below the summary of the run."""
        run = report.finish()
        if run is None:
            return
        event.stream.writeln("")
        event.stream.writeln(report.render(run, self.lines))
        report.write(run, report.files_asked_for(self.file), event.stream)
