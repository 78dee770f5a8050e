package iptables

import (
	"fmt"
	"slices"
	"strings"
)

// longest is how many cells the comparison of two chains may have, some
// milliseconds' worth. Chains that differ by more are written as a whole.
const longest = 1 << 20

// hunk is a place where two chains differ: the rules before end, from begin,
// give way to others.
type hunk struct {
	begin, end int
	rules      []string
}

// edit returns the commands that turn what a chain holds, in normal form, into
// what is wanted, or nil when they are more than half of the chain. They work
// from the chain's end to its beginning, so that no number is moved by one
// before; a rule is deleted by its text, so that never another one goes.
func (e *Engine) edit(chain, held, want string) []string {
	old, rules := rulesOf(held), rulesOf(want)
	next := make([]string, len(rules))
	for i, r := range rules {
		next[i] = normalise(r, e.names)
	}
	hunks, ok := differ(old, next)
	if !ok {
		return nil
	}
	var out []string
	for _, h := range slices.Backward(hunks) {
		for _, rule := range old[h.begin:h.end] {
			if count(old, rule) > 1 {
				return nil // its text does not say which one
			}
			out = append(out, "-D "+chain+" "+e.wire(rule))
		}
		for i, rule := range h.rules {
			if h.end == len(old) {
				out = append(out, "-A "+chain+" "+e.wire(rule))
			} else {
				out = append(out, fmt.Sprintf("-I %s %d %s", chain, h.begin+i+1, e.wire(rule)))
			}
		}
	}
	if len(out) > len(next)/2 {
		return nil
	}
	return out
}

func rulesOf(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

func count(rules []string, rule string) int {
	n := 0
	for _, r := range rules {
		if r == rule {
			n++
		}
	}
	return n
}

// differ finds the fewest rules that have to go and to come. It gives up where
// that would take long.
func differ(old, next []string) ([]hunk, bool) {
	head := 0
	for head < min(len(old), len(next)) && old[head] == next[head] {
		head++
	}
	tail := 0
	for tail < min(len(old), len(next))-head && old[len(old)-1-tail] == next[len(next)-1-tail] {
		tail++
	}
	a, b := old[head:len(old)-tail], next[head:len(next)-tail]
	if (len(a)+1)*(len(b)+1) > longest {
		return nil, false
	}
	var hunks []hunk
	keep := common(a, b)
	i, j := 0, 0
	for _, k := range append(keep, [2]int{len(a), len(b)}) {
		if k[0] > i || k[1] > j {
			hunks = append(hunks, hunk{head + i, head + k[0], b[j:k[1]]})
		}
		i, j = k[0]+1, k[1]+1
	}
	return hunks, true
}

// common is the longest common subsequence, as pairs of places.
func common(a, b []string) [][2]int {
	wide := len(b) + 1
	length := make([]int32, (len(a)+1)*wide) // of the rest from i and j on
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				length[i*wide+j] = length[(i+1)*wide+j+1] + 1
			} else {
				length[i*wide+j] = max(length[(i+1)*wide+j], length[i*wide+j+1])
			}
		}
	}
	var out [][2]int
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case a[i] == b[j]:
			out = append(out, [2]int{i, j})
			i, j = i+1, j+1
		case length[(i+1)*wide+j] >= length[i*wide+j+1]:
			i++
		default:
			j++
		}
	}
	return out
}
