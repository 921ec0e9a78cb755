"""The archive itself: header layout, tree, index, readers, writer, packing. Knows no FUSE and no OpenMMLab."""
