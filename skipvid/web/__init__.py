"""The page that shows what is analysed: an extra, skipvid[web]."""
