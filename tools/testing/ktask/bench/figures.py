# SPDX-License-Identifier: GPL-2.0-only
"""What many samples come to, for the reports."""
import statistics

MODES = ('off', 'on', 'own')


def spread(samples):
    """Median and the quarters, as text."""
    if len(samples) < 2:
        return f'{samples[0]:8.1f}'
    low, mid, high_quarter = statistics.quantiles(samples, n=4, method='inclusive')
    return f'{mid:8.1f} [{low:.1f}-{high_quarter:.1f}]'


def high(samples, percent):
    """A percentile: a value that was seen, not one between two."""
    samples = sorted(samples)
    return samples[min(len(samples) * percent // 100, len(samples) - 1)]
