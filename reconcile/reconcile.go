// Package reconcile compares what is wanted with what was read back, applies
// the difference in order, and says what remains. It knows nothing of networking.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
)

// Hand is one kernel surface.
type Hand[K comparable, V any] interface {
	// Read returns what is ours on the surface, and only that. A hand may answer
	// from what it last read and applied until something invalidates it.
	Read(ctx context.Context) (map[K]V, error)
	// Apply makes the change, as one transaction where the kernel has one. A
	// failure of single items is returned as joined [ObjectError] values; any
	// other error concerns the whole surface.
	Apply(ctx context.Context, d Diff[K, V]) error
}

// Diff is what has to change: Put is wanted and differs or is missing, Drop is
// there and not wanted.
type Diff[K comparable, V any] struct {
	Put  map[K]V
	Drop map[K]V
}

// Empty reports whether there is nothing to do.
func (d Diff[K, V]) Empty() bool { return len(d.Put) == 0 && len(d.Drop) == 0 }

// ObjectError is implemented by errors that concern one object only.
type ObjectError interface {
	error
	Object() string
}

// Part ties a hand to its part of the wanted state.
type Part[S any, K comparable, V any] struct {
	Name string
	Hand Hand[K, V]
	// Want takes the part out of the state. It is called after Read, so a hand
	// can resolve names with what it has just read.
	Want func(S) map[K]V
	// Same compares without what does not matter (the reason of an item).
	Same func(a, b V) bool
	// Object is the object that an item is for; "" where that is not known.
	Object func(V) string
	// Needs is the objects whose items must all have been put before the item
	// is. Without Needs that is the item's own object.
	Needs func(V) []string
	// Gate is set where an item that cannot be dropped must not outlive the
	// items of the steps before: a port that is still wired keeps its filters.
	Gate bool
}

// Step is a [Part] of any type.
type Step[S any] interface {
	put(ctx context.Context, r *run[S]) error
	drop(ctx context.Context, r *run[S]) error
}

// Problem is one object that is not as wanted, and why.
type Problem struct {
	Object string
	Err    error
}

// Write is what a Sync wrote for one object on one surface. That single items
// of it failed is said by a [Problem].
type Write struct {
	Surface string // [Part].Name
	Object  string // "" where that is not known: what was taken away need not say whose it was
	Items   int
}

// Result says what a Sync did and what remains. Puts and Drops count the items
// that were written.
type Result struct {
	Puts, Drops int
	Writes      []Write
	Problems    []Problem
}

type run[S any] struct {
	want   S
	failed map[string][]error // by object; "" concerns the whole host
	broken bool               // a whole surface failed
	gated  bool               // a drop failed in a step that is a gate
	puts   int
	drops  int
	writes []Write
}

// Sync makes the host as wanted: every step's puts in the order of the steps,
// then every step's drops in the reverse order. An item whose object failed in
// an earlier step is held back, so a port that could not be filtered is never
// wired; when a whole surface fails, that goes for every object with an item on
// it that is not known to be in place. Nothing is taken away while a whole
// surface fails. Problems are returned, not retried.
func Sync[S any](ctx context.Context, steps []Step[S], want S) Result {
	r := &run[S]{want: want, failed: map[string][]error{}}
	for _, s := range steps {
		r.note(s.put(ctx, r))
	}
	for i := len(steps) - 1; i >= 0; i-- {
		r.note(steps[i].drop(ctx, r))
	}
	res := Result{Puts: r.puts, Drops: r.drops, Writes: r.writes}
	for o, errs := range r.failed {
		for _, err := range errs {
			res.Problems = append(res.Problems, Problem{Object: o, Err: err})
		}
	}
	sort.SliceStable(res.Problems, func(i, j int) bool { return res.Problems[i].Object < res.Problems[j].Object })
	return res
}

func (r *run[S]) note(err error) {
	for _, e := range flatten(err) {
		object, whole := objectOf(e)
		r.broken = r.broken || whole
		r.failed[object] = append(r.failed[object], e)
	}
}

// objectOf is the object that an error concerns; whole is set when it concerns
// the whole surface.
func objectOf(err error) (object string, whole bool) {
	var oe ObjectError
	if errors.As(err, &oe) {
		return oe.Object(), false
	}
	return "", true
}

func isWhole(err error) bool {
	_, whole := objectOf(err)
	return whole
}

// flatten takes joined errors apart, through wrapping.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		var out []error
		for _, e := range j.Unwrap() {
			out = append(out, flatten(e)...)
		}
		return out
	}
	return []error{err}
}

func (p *Part[S, K, V]) put(ctx context.Context, r *run[S]) error {
	have, err := p.Hand.Read(ctx)
	if err != nil {
		return p.spread(r, p.Want(r.want), fmt.Errorf("%s: read: %w", p.Name, err))
	}
	want := p.Want(r.want)
	put := map[K]V{}
	for k, v := range want {
		if old, ok := have[k]; ok && p.Same(old, v) {
			continue
		}
		if !p.held(r, v) {
			put[k] = v
		}
	}
	if len(put) == 0 {
		return nil
	}
	err = wrap(p.Name, p.Hand.Apply(ctx, Diff[K, V]{Put: put}))
	r.puts += done(len(put), err)
	p.wrote(r, put, err)
	return p.spread(r, put, err)
}

// held reports whether something that the item needs has failed.
func (p *Part[S, K, V]) held(r *run[S], v V) bool {
	if p.Needs == nil {
		return len(r.failed[p.Object(v)]) > 0
	}
	for _, o := range p.Needs(v) {
		if len(r.failed[o]) > 0 {
			return true
		}
	}
	return false
}

// spread lets a failure of the whole surface count for every object with an
// item in it: none of them is known to be in place.
func (p *Part[S, K, V]) spread(r *run[S], items map[K]V, err error) error {
	for _, e := range flatten(err) {
		if _, whole := objectOf(e); !whole {
			continue
		}
		said := map[string]bool{"": true}
		for _, v := range items {
			if o := p.Object(v); !said[o] {
				said[o] = true
				r.failed[o] = append(r.failed[o], e)
			}
		}
	}
	return err
}

func (p *Part[S, K, V]) drop(ctx context.Context, r *run[S]) error {
	if r.broken || r.gated {
		return nil
	}
	have, err := p.Hand.Read(ctx)
	if err != nil {
		return fmt.Errorf("%s: read: %w", p.Name, err)
	}
	want := p.Want(r.want)
	drop := map[K]V{}
	for k, v := range have {
		if _, ok := want[k]; ok {
			continue
		}
		if o := p.Object(v); o == "" || len(r.failed[o]) == 0 {
			drop[k] = v
		}
	}
	if len(drop) == 0 {
		return nil
	}
	err = wrap(p.Name, p.Hand.Apply(ctx, Diff[K, V]{Drop: drop}))
	r.drops += done(len(drop), err)
	p.wrote(r, drop, err)
	r.gated = r.gated || p.Gate && err != nil
	return err
}

// wrote notes what an Apply with this error was given, unless all of it failed.
func (p *Part[S, K, V]) wrote(r *run[S], items map[K]V, err error) {
	if slices.ContainsFunc(flatten(err), isWhole) {
		return
	}
	count := map[string]int{}
	for _, v := range items {
		count[p.Object(v)]++
	}
	for _, object := range slices.Sorted(maps.Keys(count)) {
		r.writes = append(r.writes, Write{Surface: p.Name, Object: object, Items: count[object]})
	}
}

// done is how many of the items an Apply with this error has written.
func done(items int, err error) int {
	for _, e := range flatten(err) {
		if _, whole := objectOf(e); whole {
			return 0
		}
		items--
	}
	return max(items, 0)
}

// wrap keeps joined errors apart, so that each finds its object.
func wrap(name string, err error) error {
	errs := flatten(err)
	for i, e := range errs {
		errs[i] = fmt.Errorf("%s: %w", name, e)
	}
	return errors.Join(errs...)
}
