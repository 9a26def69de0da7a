"""Second architecture of occdepth-edge: image semantics, lifted evidence and a 2-D U-Net over the bird's-eye view."""
