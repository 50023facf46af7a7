def markdown(): return "x"
