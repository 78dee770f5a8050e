package check

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// has wants every text in the output; $names are expanded.
func has(texts ...string) func(*Cloud, string) error {
	return func(c *Cloud, out string) error {
		for _, t := range texts {
			if !strings.Contains(out, c.expand(t)) {
				return fmt.Errorf("%q is missing", c.expand(t))
			}
		}
		return nil
	}
}

// is wants exactly the text, without quotes around the output.
func is(text string) func(*Cloud, string) error {
	return func(c *Cloud, out string) error {
		if got := strings.Trim(strings.TrimSpace(out), `"`); got != c.expand(text) {
			return fmt.Errorf("want %q", c.expand(text))
		}
		return nil
	}
}

// like wants a match of the regular expression; its $names are expanded first,
// so it ends with \z instead of $.
func like(expr string) func(*Cloud, string) error {
	return func(c *Cloud, out string) error {
		if !regexp.MustCompile(`(?m)` + c.expand(expr)).MatchString(out) {
			return fmt.Errorf("no match of %s", c.expand(expr))
		}
		return nil
	}
}

// inOrder wants the texts one after the other, each on a line of its own.
func inOrder(texts ...string) func(*Cloud, string) error {
	return func(c *Cloud, out string) error {
		rest := strings.Split(out, "\n")
		for _, t := range texts {
			i := slices.IndexFunc(rest, func(l string) bool { return strings.Contains(l, c.expand(t)) })
			if i < 0 {
				return fmt.Errorf("%q does not come after the one before it", c.expand(t))
			}
			rest = rest[i+1:]
		}
		return nil
	}
}

// last wants the last line to hold the text.
func last(text string) func(*Cloud, string) error {
	return func(c *Cloud, out string) error {
		lines := strings.Split(strings.TrimSpace(out), "\n")
		if !strings.Contains(lines[len(lines)-1], c.expand(text)) {
			return fmt.Errorf("the last line is %q, want %q", lines[len(lines)-1], c.expand(text))
		}
		return nil
	}
}

// set wants exactly these words in any order.
func set(words ...string) func(*Cloud, string) error {
	return func(c *Cloud, out string) error {
		got, want := strings.Fields(out), []string{}
		for _, w := range words {
			want = append(want, c.expand(w))
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			return fmt.Errorf("want exactly %s", strings.Join(want, " "))
		}
		return nil
	}
}

// without wants none of the texts.
func without(texts ...string) func(*Cloud, string) error {
	return func(c *Cloud, out string) error {
		for _, t := range texts {
			if strings.Contains(out, c.expand(t)) {
				return fmt.Errorf("%q should not be there", c.expand(t))
			}
		}
		return nil
	}
}

// all wants everything.
func all(wants ...func(*Cloud, string) error) func(*Cloud, string) error {
	return func(c *Cloud, out string) error {
		for _, w := range wants {
			if err := w(c, out); err != nil {
				return err
			}
		}
		return nil
	}
}
