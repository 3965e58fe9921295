"""Flow matching: schedules, quadrature, sampling with a record, and ensembles of velocity fields.

Time runs from t = 0 (noise) to t = 1 (action) everywhere in this project.
"""
