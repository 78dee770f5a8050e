package main

import (
	"strings"
	"testing"
)

func TestStoriesAreWellFormed(t *testing.T) {
	for name, text := range map[string]string{partOpenstack: openstackStory, partNova: novaStory} {
		steps, err := parseStory(text)
		if err != nil || len(steps) < 50 {
			t.Fatalf("%s: %d steps, %v", name, len(steps), err)
		}
		for _, s := range steps {
			if s.fails && len(s.expect) == 0 {
				t.Errorf("%s: line %d: a refusal without its reason", name, s.line)
			}
		}
	}
	for _, bad := range []string{"    id > x\n", "network list\n    Name\n", "network list\n    Name is blue\n"} {
		if steps, err := parseStory(bad); err == nil {
			t.Errorf("%q is taken as %+v", bad, steps)
		}
	}
}

func TestAnswersAreHeldToTheStory(t *testing.T) {
	row := map[string]any{"id": "1", "up": true, "tags": []any{"a"}, "none": nil}
	rows := []any{map[string]any{"Agent Type": "L3 agent"}}
	for _, c := range []struct {
		expect string
		answer any
		errs   string
	}{
		{"id = 1", row, ""},
		{"id = 2", row, "id is 1, want = 2"},
		{"up = true", row, ""},
		{`tags = ["a"]`, row, ""},
		{"none = null", row, ""},
		{"id ~ ^[0-9]$", row, ""},
		{"id ~ ^[a-f]$", row, "id is 1"},
		{"name = x", row, "the answer has no name"},
		{"id = 1", rows, "the answer has no id"},
		{"Agent Type has L3 agent", rows, ""},
		{"Agent Type has OVS agent", rows, "want it to be so: true"},
		{"Agent Type lacks L3 agent", rows, "want it to be so: false"},
	} {
		steps, err := parseStory("network show\n    " + c.expect + "\n")
		if err != nil {
			t.Fatal(err)
		}
		err = steps[0].compare(c.answer, "", nil)
		if (err == nil) != (c.errs == "") || err != nil && !strings.Contains(err.Error(), c.errs) {
			t.Errorf("%s: %v, want %q", c.expect, err, c.errs)
		}
	}
	steps, err := parseStory("await ! on outside ping ${door}\n    says 0 received\nport list\n    says ^$\n    id !~ x\n")
	if err != nil || !steps[0].awaits || !steps[0].fails || steps[0].host != "outside" || steps[0].command != "ping ${door}" {
		t.Errorf("%+v, %v", steps, err)
	}
	if steps[0].compare(nil, "1 sent, 0 received", nil) != nil || steps[1].compare(row, "", nil) != nil ||
		steps[1].compare(map[string]any{"id": "x"}, "", nil) == nil {
		t.Error("what is said, or must not be, is not compared")
	}
	known := map[string]string{}
	steps, err = parseStory("network show\n    id > kept\n! network show\n    Not F..nd\n")
	if err != nil {
		t.Fatal(err)
	}
	if err := steps[0].compare(row, "", known); err != nil || known["kept"] != "1" {
		t.Errorf("%v, kept %v", err, known)
	}
	if steps[1].compare(nil, "Not Found", known) != nil || steps[1].compare(nil, "Conflict", known) == nil {
		t.Error("what a refusal says is not compared")
	}
}
