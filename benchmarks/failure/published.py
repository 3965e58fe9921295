"""ROC-AUC in the SAFE paper (arXiv 2506.09937): seen and unseen tasks, mean of its four simulated beds.

Published for pooled tasks, each read up to the shortest episode of its task in all parts. Sums over the episode where
ours chooses the aggregator; token uncertainty is the best of the four. What it leaves out has no figure here.
"""

from __future__ import annotations

from collections.abc import Mapping

Published = Mapping[str, tuple[float | None, float | None]]

SEEN_UNSEEN: Published = {
    "safe_lstm": (0.8226, 0.7704),
    "safe_mlp": (0.8143, 0.7800),
    "cosine_knn": (0.8128, 0.7393),
    "mahalanobis": (0.8028, 0.6745),
    "logpzo": (0.7967, 0.7097),
    "rnd": (0.7456, 0.6595),
    "stac_single": (0.7421, 0.7365),
    "total_variance": (0.7133, 0.7076),
    "pca_kmeans": (0.6436, 0.5844),
}
BEST_TOKEN = (0.5579, 0.6164)
WIDOWX: Published = {"safe_mlp": (None, 0.8842), "safe_lstm": (None, 0.7180)}
"""On the real WidowX under OpenVLA; no figure for seen tasks is kept here."""
