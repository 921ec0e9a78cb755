# SRCNN's training on DIV2K read from an archive in process, named by a URI: DIV2K.ffr is the packed folder data/DIV2K.
_base_ = "mmagic::srcnn/srcnn_x4k915_1xb16-1000k_div2k.py"
custom_imports = dict(imports=["ffrfs.mm"], allow_failed_imports=False)

data_root = "ffrecord://data/DIV2K.ffr/"  # below the current folder; absolute: ffrecord:///data/DIV2K.ffr/

train_dataloader = dict(dataset=dict(data_root=data_root))
