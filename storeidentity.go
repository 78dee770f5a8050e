package neutrino

import "fmt"

// StoreIdentity says whose state a store holds. A cloud has one cluster id for
// ever. Its store has a life, which ends when an older copy is put in its place:
// from there on the same revisions would mean something else, so that a new life
// begins, which says what it has in common with those before.
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
}

// MaxPastLives is how many past lives an identity names; older ones are left out.
const MaxPastLives = 64

// Named reports whether the store says who it is. One without a name was written
// by a program that knew no names.
func (s StoreIdentity) Named() bool { return s.Cluster != "" && s.Life != "" }

// Next is the identity of a new life. It goes on from the store at the revision.
// It follows also the lives that others had of the same cluster, as far as these
// have the same past: a restored copy does not know the life that it replaces.
func (s StoreIdentity) Next(life ID, at int64, others ...StoreIdentity) StoreIdentity {
	next := StoreIdentity{Cluster: s.Cluster, Life: life}
	add := func(p PastLife) {
		if p.Life == "" || p.Life == life {
			return
		}
		for i, have := range next.Past {
			if have.Life == p.Life {
				next.Past[i].Revision = min(have.Revision, p.Revision)
				return
			}
		}
		next.Past = append(next.Past, p)
	}
	for _, one := range append([]StoreIdentity{s}, others...) {
		if one.Cluster != s.Cluster && s.Cluster != "" {
			continue
		}
		for _, p := range one.Past {
			add(PastLife{p.Life, min(p.Revision, at)})
		}
		add(PastLife{one.Life, at})
	}
	next.Past = next.Past[max(0, len(next.Past)-MaxPastLives):]
	return next
}

// Common is up to which revision the life is part of this one's history; ok is
// false when this one does not name it.
func (s StoreIdentity) Common(life ID) (revision int64, ok bool) {
	for _, p := range s.Past {
		if p.Life == life {
			return p.Revision, true
		}
	}
	return 0, false
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
	StepBack                     // an older revision of the same life
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
		if _, ok := offered.Common(held.Life); ok {
			return StepNext
		}
		return StepApart
	case offered.Revision < held.Revision:
		return StepBack
	}
	return StepOn
}

// Loses reports whether the step to the offered position leaves changes out that
// the held one has.
func (held StorePosition) Loses(offered StorePosition) bool {
	common, ok := offered.Common(held.Life)
	return ok && held.Life != offered.Life && held.Revision > common
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
		return fmt.Sprintf("the store is at revision %d, it has been at revision %d (cluster %s, life %s)",
			offered.Revision, held.Revision, offered.Cluster, offered.Life)
	}
	return ""
}
