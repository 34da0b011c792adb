"""Many photos on one canvas and back: layout and un-gridding are pure, composing handles pixels."""
