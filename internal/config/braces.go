package config

// missingBraces finds, by indentation, where stanzas end whose } is missing: token ->
// how many end before it. It is asked only when more are opened than closed; a stanza
// whose body is indented ends where a line begins no deeper than its own.
func missingBraces(toks []token) map[int]int {
	open := 0
	for _, t := range toks {
		switch {
		case t.is("{"):
			open++
		case t.is("}") && open > 0:
			open--
		}
	}
	if open == 0 {
		return nil
	}
	type frame struct {
		col      int // of the line that opened it
		indented bool
		asked    bool
	}
	var stack []frame
	out := map[int]int{}
	lineCol := 1
	for i, t := range toks {
		if t.breaks > 0 || i == 0 {
			lineCol = t.col
			for len(stack) > 0 {
				top := &stack[len(stack)-1]
				if !top.asked {
					top.asked, top.indented = true, t.col > top.col
				}
				deeper := t.col > top.col || (t.is("}") && t.col == top.col)
				if !top.indented || deeper || t.kind == tokEOF {
					break
				}
				stack = stack[:len(stack)-1]
				out[i]++
			}
		}
		switch {
		case t.is("{"):
			stack = append(stack, frame{col: lineCol})
		case t.is("}") && len(stack) > 0:
			stack = stack[:len(stack)-1]
		}
	}
	return out
}
