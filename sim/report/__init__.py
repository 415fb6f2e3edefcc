"""Reports: one page per run or sweep that opens anywhere, with figures, tables, scenario, versions and warnings."""
