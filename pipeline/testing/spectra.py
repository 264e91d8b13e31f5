"""Surface reflectance of the materials that the simulated ground is made of."""

from __future__ import annotations

SPECTRA: dict[str, tuple[float, float, float, float]] = {
    # Surface reflectance of blue, red, nir, swir16; typical of Sentinel-2 L2A over semi-arid land.
    "crop": (0.035, 0.038, 0.46, 0.20),
    "herb": (0.050, 0.068, 0.36, 0.24),
    "leaf": (0.025, 0.030, 0.33, 0.14),
    "straw": (0.100, 0.180, 0.290, 0.330),
    "loam": (0.090, 0.150, 0.220, 0.300),
    "sand": (0.140, 0.240, 0.310, 0.400),
    "litter": (0.060, 0.090, 0.170, 0.190),
    "water": (0.060, 0.045, 0.025, 0.015),
    "mud": (0.085, 0.120, 0.150, 0.120),
    "silt": (0.120, 0.180, 0.230, 0.290),
    "roofs": (0.150, 0.190, 0.230, 0.240),
    "asphalt": (0.085, 0.098, 0.112, 0.130),
    "gravel": (0.190, 0.240, 0.280, 0.320),
    "concrete": (0.260, 0.300, 0.330, 0.340),
    "metal": (0.310, 0.330, 0.350, 0.300),
    "subsoil": (0.075, 0.115, 0.150, 0.200),
    "machines": (0.060, 0.065, 0.090, 0.100),
}
