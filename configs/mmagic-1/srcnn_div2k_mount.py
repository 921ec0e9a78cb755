# SRCNN's training on DIV2K read from a mount, `ffrfs mount DIV2K.ffr /mnt/div2k`: nothing of ffrfs is named.
# Mounted at data/DIV2K, where the stock config looks for it, not even this file is needed.
_base_ = "mmagic::srcnn/srcnn_x4k915_1xb16-1000k_div2k.py"

data_root = "/mnt/div2k/"

train_dataloader = dict(dataset=dict(data_root=data_root))
