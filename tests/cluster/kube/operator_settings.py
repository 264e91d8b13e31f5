"""What the operator of the tests is told beside: to look each second, not each minute, whether it may let a cluster go.

That is where a deletion meets one of its timers that is at work.
"""

from typing import Any

import kopf


@kopf.on.startup()
def look_often(settings: kopf.OperatorSettings, **_: Any) -> None:
    """Set it as the operator starts."""
    settings.background.cancellation_polling = 1
