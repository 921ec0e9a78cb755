# FCN on ADE20K read from a mount, `ffrfs mount ade20k.ffr /mnt/ade20k`, for mmseg 0: nothing of ffrfs is named. Mounted
# at data/ade/ADEChallengeData2016, where mmseg looks for it, not even this file is needed. (Put this folder into its
# configs/.)
_base_ = "../fcn/fcn_r50-d8_512x512_80k_ade20k.py"

data_root = "/mnt/ade20k"

data = dict(train=dict(data_root=data_root), val=dict(data_root=data_root), test=dict(data_root=data_root))
