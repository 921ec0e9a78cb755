# FCN on ADE20K read from an archive in process, named by a URI: no pipeline is edited.
_base_ = "mmseg::fcn/fcn_r50-d8_4xb4-80k_ade20k-512x512.py"
custom_imports = dict(imports=["ffrfs.mm"], allow_failed_imports=False)

data_root = "ffrecord://data/ade20k.ffr/"  # absolute: ffrecord:///data/ade20k.ffr/

train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
