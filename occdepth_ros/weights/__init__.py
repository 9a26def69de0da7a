"""Weights that ship with the package: safetensors in half precision, written by `occdepth weights pack`.

- `occdepth-edge.safetensors` and `occdepth-edge-sfa.safetensors` were trained on synthetic scenes alone; Apache-2.0
  like the code.
- `occdepth-edge-kitti.safetensors` and `monoocc-edge-kitti.safetensors` were trained on KITTI, SemanticKITTI and
  Cityscapes and are bound by their non-commercial licences, see `LICENSE-occdepth-edge-kitti.txt`.
- `monoocc-edge.safetensors` was trained on synthetic scenes alone; Apache-2.0 like the code.

The model cards in `docs` (`model_card_occdepth_edge.md`, `model_card_occdepth_edge_kitti.md`,
`model_card_occdepth_edge_sfa.md` and `model_card_monoocc_edge.md`) describe their results and limitations.
"""
