"""From a folder of raw footage to clips that training reads: cut, filtered, posed, captioned."""
