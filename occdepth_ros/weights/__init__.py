"""Weights that ship with the package: safetensors in half precision, written by `occdepth weights pack`.

- `occdepth-edge.safetensors` learnt from generated streets alone; Apache-2.0 like the code.
- `occdepth-edge-kitti.safetensors` went on learning from KITTI and is bound by KITTI's non-commercial licence, see
  `LICENSE-occdepth-edge-kitti.txt` beside it.
- `monoocc-edge.safetensors` learnt from generated streets alone; Apache-2.0 like the code.

The model cards, `docs/model_card_occdepth_edge.md` and `docs/model_card_monoocc_edge.md`, say what they can do and
where they fail.
"""
