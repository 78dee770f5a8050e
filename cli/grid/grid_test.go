package grid

import (
	"strings"
	"testing"
)

func rule() Table {
	return Table{Header: []string{"ID", "Name", "Size"}, Right: []bool{false, false, true}, Least: 8, Rows: [][]string{
		{"0b29e73b-54e7-41b0-a3e6-3c1c8f6fd101", "the web of the north-west", "7"},
		{"1", "two\nlines", "1400"},
	}}
}

func TestATableIsAsWideAsItsCells(t *testing.T) {
	const want = `
+--------------------------------------+---------------------------+------+
| ID                                   | Name                      | Size |
+--------------------------------------+---------------------------+------+
| 0b29e73b-54e7-41b0-a3e6-3c1c8f6fd101 | the web of the north-west |    7 |
| 1                                    | two                       | 1400 |
|                                      | lines                     |      |
+--------------------------------------+---------------------------+------+`
	for _, l := range []Limits{{}, {MaxWidth: 200}, {MaxWidth: -1}, {Empty: true}} {
		if got := rule().Draw(l); got != want[1:] {
			t.Errorf("%+v:\n%s", l, got)
		}
	}
}

// What is squeezed is broken where Python's textwrap breaks it: cli compares
// with the real client.
func TestATableIsSqueezedIntoAWidth(t *testing.T) {
	const want = `
+----------------+----------------+------+
| ID             | Name           | Size |
+----------------+----------------+------+
| 0b29e73b-54e7- | the web of the |    7 |
| 41b0-a3e6-     | north-west     |      |
| 3c1c8f6fd101   |                |      |
| 1              | two            | 1400 |
|                | lines          |      |
+----------------+----------------+------+`
	if got := rule().Draw(Limits{MaxWidth: 42}); got != want[1:] {
		t.Errorf("\n%s", got)
	}
	for width := 1; width < 80; width++ {
		for line := range strings.Lines(rule().Draw(Limits{MaxWidth: width})) {
			if n := len(strings.TrimSpace(line)); n > max(width, 30) {
				t.Fatalf("%d characters in a table for %d: %s", n, width, line)
			}
		}
	}
}

func TestATableWithoutRowsIsNothingUnlessAskedFor(t *testing.T) {
	none := Table{Header: []string{"ID"}}
	if got := none.Draw(Limits{}); got != "" {
		t.Errorf("%q", got)
	}
	if got := none.Draw(Limits{Empty: true}); got != "+----+\n| ID |\n+----+\n+----+" {
		t.Errorf("%q", got)
	}
}

func TestTheEnvironmentSetsLimits(t *testing.T) {
	env := map[string]string{"CLIFF_MAX_TERM_WIDTH": "70", "CLIFF_FIT_WIDTH": "1"}
	if l := FromEnvironment(func(name string) string { return env[name] }); l.MaxWidth != 70 || !l.Fit {
		t.Errorf("%+v", l)
	}
	if l := FromEnvironment(func(string) string { return "wide" }); l.MaxWidth != 0 || l.Fit {
		t.Errorf("%+v", l)
	}
}
