// The Python module skipvid.tasks._registered: how a camera moved, and pictures moved and drawn.
#include "registered.hpp"

NB_MODULE(_registered, m) {
  bind_displaced(m);
  bind_fitting(m);
  bind_merged(m);
  bind_patches(m);
  bind_shifted(m);
  bind_turned(m);
}
