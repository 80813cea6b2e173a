"""`python -m ablations.forget --study NAME --protocol ID`: deletes plans, so that tables no longer wait for their runs.

Without --yes it only lists the plans that would be deleted; without --study and --protocol, all plans. No run is
touched: runs that have a folder, finished or not, stay in the tables as runs of no plan. The command that wrote a plan
writes it again.

Exit code 0: done, or listed; 1: no plan fits, or there is none; 2: a plan cannot be deleted.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

from ablations.core.console import console, show_error
from ablations.core.errors import UserError
from ablations.core.make_variables import option
from ablations.core.text import counted
from ablations.store import run_folder
from ablations.store.plans import Plan, plan_files
from ablations.store.protocol_folders import means, read_folders


def main(arguments: list[str] | None = None) -> int:
    """List or delete plans."""
    parser = argparse.ArgumentParser(prog="python -m ablations.forget", description=__doc__)
    parser.add_argument("--study", default="", help="study of the plans to delete; all where absent")
    parser.add_argument("--protocol", default="", help="name or id of a protocol, or how it begins; all where absent")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder that holds runs/ and plans/")
    parser.add_argument("--yes", action="store_true", help="delete them; otherwise they are only listed")
    options = parser.parse_args(arguments)
    try:
        plans, names = plan_files(options.results), read_folders(options.results).names
        chosen = choose(plans, options.study, options.protocol, names)
        if options.yes and not (options.study or options.protocol):
            raise UserError(
                f"Say which plans to delete: {option('study', 'NAME')}, {option('protocol', 'ID')}, or both."
            )
    except UserError as error:
        show_error(error)
        return 1
    out = console()
    for plan in chosen.values():
        out.print(describe(plan, options.results), markup=False)
    if not options.yes:
        out.print(
            f"Nothing was deleted: choose with {option('study')} and {option('protocol')}, and add {option('yes')}.",
            markup=False,
        )
        return 0
    try:
        for path in chosen:
            path.unlink()
    except OSError as error:
        show_error(f"{error.filename} cannot be deleted ({error.strerror}).")
        return 2
    out.print(
        f"{len(chosen)} deleted. No run was touched; make tables RESULTS={options.results} shows it.", markup=False
    )
    return 0


def choose(plans: dict[Path, Plan], study: str, protocol: str, names: Mapping[str, str]) -> dict[Path, Plan]:
    """The plans of a study under protocols that `protocol` means (see `protocol_folders.means`), by path.

    Raises:
        UserError: there is none.
    """
    chosen = {
        path: plan for path, plan in plans.items() if study in ("", plan.study) and means(protocol, plan.scope, names)
    }
    if not chosen:
        known = ", ".join(f"{plan.study} {plan.protocol_id}" for plan in plans.values()) or "none"
        raise UserError(f"No plan fits; there are: {known}.")
    return chosen


def describe(plan: Plan, results: Path) -> str:
    """A line: study, preset, protocol and time of a plan, how many of its runs have a folder, and how many are done."""
    ids = [entry.run_id for entry in plan.runs]
    begun = [run_id for run_id in ids if run_folder.path_of(results, run_id).is_dir()]
    done = sum(run_folder.check_run(run_folder.path_of(results, run_id), run_id)[0] is not None for run_id in begun)
    title = f"{plan.study}, preset {plan.preset}, protocol {plan.protocol_id}, of {plan.written or 'unknown time'}"
    return f"{title}: of {counted(len(ids), 'run')} {len(begun)} with a folder, which stay, {done} of them done"
