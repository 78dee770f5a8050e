package iptables

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"neutrino/host"
)

// tables in the order in which a batch writes them: a packet meets its zone
// before the rules that ask for its state.
const tableOrder = "raw mangle nat filter security"

// batch is the text of one iptables-restore; owner says for each line, from
// one, which item it is for, or -1.
type batch struct {
	lines []string
	owner []int
}

func (b *batch) add(owner int, line string) {
	b.lines = append(b.lines, line)
	b.owner = append(b.owner, owner)
}

func (b *batch) text() string { return strings.Join(b.lines, "\n") + "\n" }

// sortTables orders table names as a batch writes them.
func sortTables(names []string) {
	slices.SortFunc(names, func(a, b string) int {
		ia, ib := strings.Index(tableOrder, a), strings.Index(tableOrder, b)
		if ia != ib {
			return ia - ib
		}
		return strings.Compare(a, b)
	})
}

var blameForms = []*regexp.Regexp{
	regexp.MustCompile(`Error occurred at line: (\d+)`),
	regexp.MustCompile(`(?m)^line (\d+): `),
	regexp.MustCompile(`line (\d+) failed`),
	regexp.MustCompile(`Error in line (\d+)`), // ipset
}

// blamed is the line of the batch that a tool complains about, 0 for none.
func blamed(r *refused) int {
	for _, re := range blameForms {
		if m := re.FindStringSubmatch(r.stderr); m != nil {
			n, err := strconv.Atoi(m[1])
			if err == nil {
				return n
			}
		}
	}
	return 0
}

// job applies items in as few runs as possible and finds those that the tool
// refuses. render makes the batch of some items, by index.
type job struct {
	render func(items []int) *batch
	apply  func(ctx context.Context, text string) error
	failed map[int]error
	done   []int
}

// run applies the items. An item that is refused is left out and noted; an
// error that is nobody's fault is returned.
func (j *job) run(ctx context.Context, items []int) error {
	if len(items) == 0 {
		return nil
	}
	b := j.render(items)
	err := j.apply(ctx, b.text())
	if err == nil {
		j.done = append(j.done, items...)
		return nil
	}
	var r *refused
	if !errors.As(err, &r) {
		return err
	}
	if line := blamed(r); line > 0 && line <= len(b.owner) && b.owner[line-1] >= 0 {
		guilty := b.owner[line-1]
		j.failed[guilty] = err
		return j.run(ctx, slices.DeleteFunc(slices.Clone(items), func(i int) bool { return i == guilty }))
	}
	if len(items) == 1 {
		j.failed[items[0]] = err
		return nil
	}
	half := len(items) / 2
	if err := j.run(ctx, items[:half]); err != nil {
		return err
	}
	return j.run(ctx, items[half:])
}

// errors are the items that were refused.
func (j *job) errors(item func(i int) host.ItemError) []error {
	var errs []error
	for i, why := range j.failed {
		ie := item(i)
		ie.Err = why
		errs = append(errs, &ie)
	}
	return errs
}

// collect adds the error of a whole place to those of its items. After any of
// them the place is read again.
func (e *Engine) collect(p place, errs []error, err error) []error {
	if err != nil {
		errs = append(errs, err)
	}
	if len(errs) > 0 {
		e.spoil(p.ns)
	}
	return errs
}

// spread turns one failure into one for each item: the items of a namespace
// that is gone wait for it, the others do not notice.
func spread[K comparable](keys []K, item func(K) host.ItemError, err error) []error {
	var errs []error
	for _, k := range keys {
		ie := item(k)
		ie.Err = err
		errs = append(errs, &ie)
	}
	return errs
}

func isAbsent(err error) bool {
	var a *host.Absent
	return errors.As(err, &a)
}
