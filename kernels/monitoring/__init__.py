"""The detectors ``cusum`` and ``mosum``: a history is fitted, later dates are monitored."""
