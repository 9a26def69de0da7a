"""occdepth-edge and occdepth-edge-kitti: image semantics, lifted evidence and a 2-D U-Net over the bird's-eye view."""
