package neutrino_test

import (
	"testing"

	"neutrino"
)

func position(cluster, life neutrino.ID, revision int64, past ...neutrino.PastLife) neutrino.StorePosition {
	return neutrino.StorePosition{
		StoreIdentity: neutrino.StoreIdentity{Cluster: cluster, Life: life, Past: past}, Revision: revision,
	}
}

func TestStoreStepTellsWhatContinues(t *testing.T) {
	held := position("a", "1", 100)
	for _, c := range []struct {
		name    string
		held    neutrino.StorePosition
		offered neutrino.StorePosition
		want    neutrino.StoreStep
		loses   bool
	}{
		{"the same", held, position("a", "1", 100), neutrino.StepOn, false},
		{"newer", held, position("a", "1", 101), neutrino.StepOn, false},
		{"older by one", held, position("a", "1", 99), neutrino.StepBack, false},
		{"empty", held, position("", "", 0), neutrino.StepNoName, false},
		{"a program that knows no names", held, position("", "", 1000), neutrino.StepNoName, false},
		{"another cluster, newer", held, position("b", "2", 5000), neutrino.StepForeign, false},
		{"another cluster that names our life", held, position("b", "2", 5000, neutrino.PastLife{Life: "1", Revision: 1000}), neutrino.StepForeign, false},
		{"another life", held, position("a", "2", 5000), neutrino.StepApart, false},
		{"a life that follows", held, position("a", "2", 50, neutrino.PastLife{Life: "1", Revision: 100}), neutrino.StepNext, false},
		{"a life that goes on from an older copy", held, position("a", "2", 5000, neutrino.PastLife{Life: "1", Revision: 99}), neutrino.StepBack, true},
		{"a restored copy", held, position("a", "2", 50, neutrino.PastLife{Life: "1", Revision: 49, Restored: true}), neutrino.StepNext, true},
		{"the life before", position("a", "2", 50, neutrino.PastLife{Life: "1", Revision: 49}), held, neutrino.StepApart, false},
		{"nothing is held", neutrino.StorePosition{}, position("b", "2", 1), neutrino.StepOn, false},
		{"held before stores had names", position("", "", 100), position("a", "1", 100), neutrino.StepOn, false},
		{"held before stores had names, and the store is empty", position("", "", 100), position("a", "1", 1), neutrino.StepBack, false},
		{"no end knows names", position("", "", 100), position("", "", 1), neutrino.StepOn, false},
	} {
		got := c.held.Step(c.offered)
		if got != c.want || c.held.Loses(c.offered) != c.loses {
			t.Errorf("%s: step %d, loses %v", c.name, got, c.held.Loses(c.offered))
		}
		if (c.held.Difference(c.offered) == "") != got.Taken() {
			t.Errorf("%s: step %d, and the difference is %q", c.name, got, c.held.Difference(c.offered))
		}
	}
}

// Life 2 came of a copy of life 1 at 80; then a copy of life 1 at 60 replaces life 2,
// and is started again.
func TestALifeFollowsAllThatItReplaces(t *testing.T) {
	first := neutrino.StoreIdentity{Cluster: "a", Life: "1"}
	second := first.Restored("2", 80)
	third := first.Restored("3", 60, second)
	fourth := third.Next("4", 70)
	for life, want := range map[neutrino.ID]neutrino.PastLife{"1": {"1", 60, true}, "2": {"2", 60, true}, "3": {"3", 70, false}} {
		if got, ok := fourth.Follows(life); !ok || got != want {
			t.Errorf("life %s: %+v, %v; want %+v", life, got, ok, want)
		}
	}
	if second.Cluster != "a" || !position("a", "2", 90).Loses(position("a", "3", 61, third.Past...)) {
		t.Errorf("second %+v, third %+v", second, third)
	}
	if foreign := first.Restored("4", 60, neutrino.StoreIdentity{Cluster: "b", Life: "9"}); len(foreign.Past) != 1 {
		t.Errorf("a life follows another cluster's: %+v", foreign)
	}
	long := first
	for i := range 2 * neutrino.MaxPastLives {
		long = long.Next(neutrino.NewID([16]byte{byte(i), byte(i >> 8), 1}), int64(100+i))
	}
	if len(long.Past) != neutrino.MaxPastLives || long.Past[0].Revision != 100+neutrino.MaxPastLives {
		t.Errorf("%d past lives are named, from %+v on", len(long.Past), long.Past[0])
	}
}
