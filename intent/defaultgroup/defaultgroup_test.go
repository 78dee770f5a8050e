package defaultgroup

import (
	"encoding/hex"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"neutrino"
	"neutrino/intent/work"
)

func TestTheIDOfAKeystoneProjectsDefaultGroupTellsTheProject(t *testing.T) {
	seen := map[neutrino.ID]string{}
	rapid.Check(t, func(rt *rapid.T) {
		random := [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(rt, "random"))
		project := strings.ReplaceAll(string(neutrino.NewID(random)), "-", "")
		id := ID(project)
		if !neutrino.IsUUID(string(id)) || id[14] != '8' {
			rt.Fatalf("%s is no UUID of version 8", id)
		}
		if got, ok := Project(id); !ok || got != project {
			rt.Fatalf("%s of %s tells %q", id, project, got)
		}
		if other, twice := seen[id]; twice && other != project {
			rt.Fatalf("%s is of %s and %s", id, project, other)
		}
		seen[id] = project
	})
}

// Other projects have names, of which no UUID can tell.
func TestTheIDOfAnyOtherProjectsDefaultGroupDoesNot(t *testing.T) {
	for _, project := range []string{"", "default", "alice", strings.Repeat("0", 32), strings.Repeat("A", 32), hex.EncodeToString(make([]byte, 17)), "0a0a0a0a0a0a4a0a8a0a0a0a0a0a0a0A"} {
		id := ID(project)
		if got, ok := Project(id); ok || id[14] != '5' {
			t.Errorf("%s of %q tells %q", id, project, got)
		}
	}
	if got, ok := Project("not an id"); ok {
		t.Errorf("no ID tells %q", got)
	}
}

func TestWhoIsShownADefaultGroupBeforeItIsWritten(t *testing.T) {
	const mine, theirs = "0a0a0a0a0a0a4a0a8a0a0a0a0a0a0a01", "0a0a0a0a0a0a4a0a8a0a0a0a0a0a0a02"
	for _, row := range []struct {
		caller work.Caller
		group  string
		want   bool
	}{
		{work.Caller{ProjectID: mine}, mine, true},
		{work.Caller{ProjectID: mine}, theirs, false},
		{work.Caller{ProjectID: mine, Admin: true}, theirs, true},
		{work.Caller{ProjectID: mine, Service: true}, theirs, true},
		{work.Caller{ProjectID: mine, Admin: true}, "bob", false},
		{work.Caller{ProjectID: "bob"}, "bob", true},
		{work.Caller{}, "", false},
	} {
		if got, ok := ShownTo(row.caller, ID(row.group)); ok != row.want || ok && got != row.group {
			t.Errorf("%+v and the group of %q: %q, %t", row.caller, row.group, got, ok)
		}
	}
}
