package neutrino

import (
	"fmt"
	"slices"
)

// StoreIdentity says whose state a store holds. A cloud has one cluster id for
// ever. A life of its store begins with each start of a server on it, and with each
// restoration: in an older copy the same revisions mean something else, and a copy
// does not know the lives that began after it was made.
type StoreIdentity struct {
	Cluster ID `json:"cluster"`
	Life    ID `json:"life"`
	// Past are the lives that this one follows, the oldest first.
	Past []PastLife `json:"past,omitempty"`
}

// PastLife is a life that ended. What it wrote up to and with the revision is
// part of the life that follows; what it wrote later is not.
type PastLife struct {
	Life     ID    `json:"life"`
	Revision int64 `json:"revision"`
	// Restored is set where an operator gave up what the life wrote later, by putting
	// an older copy in its place. Where it is not, nothing may have been written.
	Restored bool `json:"restored,omitempty"`
}

// MaxPastLives is how many past lives an identity names; older ones are left out.
const MaxPastLives = 1024

// Named reports whether the store says who it is. One without a name was written
// by a program that knew no names.
func (s StoreIdentity) Named() bool { return s.Cluster != "" && s.Life != "" }

// Next is the identity of the life that goes on from the store at the revision.
func (s StoreIdentity) Next(life ID, at int64) StoreIdentity {
	past := append(slices.Clone(s.Past), PastLife{Life: s.Life, Revision: at})
	return StoreIdentity{Cluster: s.Cluster, Life: life, Past: past[max(0, len(past)-MaxPastLives):]}
}

// Restored is the identity of the life of a restored copy, which goes on from the
// copy at the revision. It follows also the lives that others had of the same
// cluster: the copy does not know those that it replaces.
func (s StoreIdentity) Restored(life ID, at int64, others ...StoreIdentity) StoreIdentity {
	next := StoreIdentity{Cluster: s.Cluster, Life: life}
	known := map[ID]int{}
	add := func(p PastLife) {
		p.Restored, p.Revision = true, min(p.Revision, at)
		if i, ok := known[p.Life]; ok {
			next.Past[i].Revision = min(next.Past[i].Revision, p.Revision)
		} else if p.Life != "" {
			known[p.Life] = len(next.Past)
			next.Past = append(next.Past, p)
		}
	}
	for _, one := range append([]StoreIdentity{s}, others...) {
		if one.Cluster != s.Cluster {
			continue
		}
		for _, p := range one.Past {
			add(p)
		}
		add(PastLife{Life: one.Life, Revision: at})
	}
	next.Past = next.Past[max(0, len(next.Past)-MaxPastLives):]
	return next
}

// Follows says how a life is part of this one's history; ok is false when this one
// does not name it.
func (s StoreIdentity) Follows(life ID) (p PastLife, ok bool) {
	for _, p := range s.Past {
		if p.Life == life {
			return p, true
		}
	}
	return PastLife{}, false
}

// StorePosition is a revision of a store's life: what a view was made of.
type StorePosition struct {
	StoreIdentity
	Revision int64 `json:"revision"`
}

// StoreStep is how a position that is offered continues the one that is held.
type StoreStep int

// The steps. The first two may be taken, the others take somebody's word.
const (
	StepOn      StoreStep = iota // the same life, and not an older revision
	StepNext                     // a life that follows
	StepNoName                   // a store without a name in the place of one that has one
	StepForeign                  // another cloud's store
	StepApart                    // a life that does not say that it follows
	StepBack                     // an older revision of the same life, or a life that goes on from one
)

// Taken reports whether the step may be taken without anybody's word.
func (s StoreStep) Taken() bool { return s == StepOn || s == StepNext }

// Step says how the offered position continues the one that is held. What holds
// nothing, at revision 0, goes on with anything. What was held before stores had
// names goes on with any store that is not older.
func (held StorePosition) Step(offered StorePosition) StoreStep {
	switch {
	case held.Revision == 0:
		return StepOn
	case !held.Named() && !offered.Named():
		return StepOn // neither end knows
	case held.Named() && !offered.Named():
		return StepNoName
	case held.Named() && held.Cluster != offered.Cluster:
		return StepForeign
	case held.Named() && held.Life != offered.Life:
		switch p, ok := offered.Follows(held.Life); {
		case !ok:
			return StepApart
		case held.Revision > p.Revision && !p.Restored:
			return StepBack // an older copy, which nobody restored
		}
		return StepNext
	case offered.Revision < held.Revision:
		return StepBack
	}
	return StepOn
}

// Loses reports whether the step to the offered position leaves changes out that
// the held one has.
func (held StorePosition) Loses(offered StorePosition) bool {
	p, ok := offered.Follows(held.Life)
	return ok && held.Life != offered.Life && held.Revision > p.Revision
}

// Difference says in a sentence why the offered position does not continue the
// held one, "" when it does.
func (held StorePosition) Difference(offered StorePosition) string {
	switch held.Step(offered) {
	case StepNoName:
		return fmt.Sprintf("the store has no name, expected that of cluster %s", held.Cluster)
	case StepForeign:
		return fmt.Sprintf("the store is that of cluster %s, expected cluster %s", offered.Cluster, held.Cluster)
	case StepApart:
		return fmt.Sprintf("the store is in life %s, which does not follow life %s of cluster %s", offered.Life, held.Life, held.Cluster)
	case StepBack:
		had := offered.Revision
		if p, ok := offered.Follows(held.Life); ok && held.Life != offered.Life {
			had = p.Revision
		}
		return fmt.Sprintf("the store is an older copy of life %s of cluster %s: it has it up to revision %d, it has been at revision %d",
			held.Life, held.Cluster, had, held.Revision)
	}
	return ""
}
