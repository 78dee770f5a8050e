// Package policytest holds every route of the API against what the reference
// says about who may do what.
package policytest

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// line is one line of the table: a resource, one of its attributes, or an
// action below its items.
type line struct {
	section, resource string
	attribute         string // without its case; "" for the resource itself
	label             string // with its case
	action            bool

	create, update, remove, get string // letters
	maybe                       string
	post, initial, put, touch   string
	also                        []int
}

func (l *line) cite() string {
	return strings.TrimSpace("api.md " + l.section + " " + l.resource + " " + l.label)
}

// resource is all that the table says of one resource.
type resource struct {
	line
	attributes []*line
	actions    []*line
	tags       *line
}

// table is the whole of testdata/policy.txt, by resource.
type table map[string]*resource

// read adds the lines of a text.
func (t table) read(text string) error {
	for i, row := range strings.Split(text, "\n") {
		if row = strings.TrimSpace(row); row == "" || row[0] == '#' {
			continue
		}
		l, err := readLine(row)
		if err != nil {
			return fmt.Errorf("line %d: %w", i+1, err)
		}
		r := t[l.resource]
		switch {
		case l.label == "" && r == nil:
			t[l.resource] = &resource{line: *l}
		case r == nil || l.label == "":
			return fmt.Errorf("line %d: %s is out of order", i+1, l.resource)
		case l.action:
			r.actions = append(r.actions, l)
		case l.attribute == "tags":
			r.tags = l
		default:
			r.attributes = append(r.attributes, l)
		}
	}
	return nil
}

func readLine(row string) (*line, error) {
	columns := strings.Split(row, " | ")
	head := strings.Fields(columns[0])
	if len(head) < 2 || len(head) > 3 {
		return nil, fmt.Errorf("head %q", columns[0])
	}
	l := &line{section: head[0], resource: head[1]}
	if len(head) == 3 {
		l.label = head[2]
		l.attribute, _, _ = strings.Cut(l.label, "=")
		l.attribute, l.action = strings.CutPrefix(l.attribute, "!")
	}
	fields := map[string]*string{"c": &l.create, "u": &l.update, "d": &l.remove, "g": &l.get, "maybe": &l.maybe,
		"post": &l.post, "default": &l.initial, "put": &l.put, "touch": &l.touch}
	for _, column := range columns[1:] {
		key, value, _ := strings.Cut(strings.TrimSpace(column), " ")
		if key == "also" {
			for s := range strings.SplitSeq(value, ",") {
				n, err := strconv.Atoi(s)
				if err != nil {
					return nil, err
				}
				l.also = append(l.also, n)
			}
			continue
		}
		if fields[key] == nil || value == "" {
			return nil, fmt.Errorf("column %q", column)
		}
		*fields[key] = value
	}
	return l, nil
}

func readPolicy(t testing.TB) table {
	t.Helper()
	text, err := os.ReadFile("testdata/policy.txt")
	if err != nil {
		t.Fatal(err)
	}
	all := table{}
	if err := all.read(string(text)); err != nil {
		t.Fatalf("testdata/policy.txt: %v", err)
	}
	return all
}
