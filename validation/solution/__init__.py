"""Structure solution against known structures: simulated conditions, measured data, other packages."""
