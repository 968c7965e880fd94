"""`python -m services.worker` serves HARMONY_QUEUES; `python -m services.worker beat` is beat."""

import sys

from services.kernel.errors import HarmonyError
from services.kernel.settings import get_settings
from services.kernel.telemetry import configure_logging
from services.worker.run import run_beat, run_worker


def main(arguments: list[str]) -> int:
    """Run until stopped; the exit code is 2 when a setting is wrong."""
    try:
        settings = get_settings()
        configure_logging(settings.log_level, settings.log_format)
        if arguments == ["beat"]:
            run_beat(settings)
        else:
            run_worker(settings)
    except HarmonyError as error:
        print(error.message, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
