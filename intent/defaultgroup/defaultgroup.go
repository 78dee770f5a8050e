// Package defaultgroup is the part of the intent station for the security group
// that every project has. It is written by the first request that needs it; until
// then a GET shows it and writes nothing (api.md section 6, W15), and whoever is
// shown it can use it.
package defaultgroup

import (
	"crypto/sha1"
	"encoding/hex"
	"slices"
	"strings"

	"neutrino"
	"neutrino/intent/work"
	"neutrino/store"
)

func claim(project string) string { return "default-group/" + project }

// The bits of a UUID that say what kind it is (RFC 9562, sections 4.1 and 4.2).
const (
	versionRandom = 0x40
	versionOwn    = 0x80 // version 8: the rest is ours to choose
	variant       = 0x80
)

// ID is the ID of a project's default group, known before the group is written. Of
// a project that Keystone made it is a version 8 UUID, from which [Project] finds
// the project again.
func ID(project string) neutrino.ID {
	b, err := hex.DecodeString(project)
	if err != nil || len(b) != 16 || hex.EncodeToString(b) != project || b[6]&0xf0 != versionRandom || b[8]&0xc0 != variant {
		return work.NameID("default-group." + project)
	}
	id := []byte(neutrino.NewID(masked(b)))
	id[14] = '0' + versionOwn>>4
	return neutrino.ID(id)
}

// Project is the project whose default group has the ID, false where the ID does
// not tell.
func Project(id neutrino.ID) (string, bool) {
	b, err := hex.DecodeString(strings.ReplaceAll(string(id), "-", ""))
	if err != nil || len(b) != 16 || b[6]&0xf0 != versionOwn || b[8]&0xc0 != variant {
		return "", false
	}
	project := strings.ReplaceAll(string(neutrino.NewID(masked(b))), "-", "")
	return project, ID(project) == id
}

// masked is the bytes of one of the IDs as those of the other.
func masked(b []byte) (out [16]byte) {
	mask := sha1.Sum([]byte("default-group"))
	for i := range out {
		out[i] = b[i] ^ mask[i]
	}
	return out
}

// Of is a project's default group with its rules, as they will be written. Their
// IDs are a function of the project.
func Of(project string) (neutrino.SecurityGroup, []neutrino.SecurityGroupRule) {
	g := neutrino.SecurityGroup{ID: ID(project), Name: neutrino.DefaultGroup, ProjectID: project, Stateful: true}
	g.Description = "Default security group"
	var list []neutrino.SecurityGroupRule
	for _, family := range []neutrino.EtherType{neutrino.IPv4, neutrino.IPv6} {
		for _, direction := range []neutrino.Direction{neutrino.Ingress, neutrino.Egress} {
			r := neutrino.SecurityGroupRule{
				ID:        work.NameID("default-group." + string(family) + "." + string(direction) + "." + project),
				ProjectID: project, SecurityGroupID: g.ID, Direction: direction, EtherType: family,
			}
			if direction == neutrino.Ingress {
				r.RemoteGroupID = g.ID
			}
			list = append(list, r)
		}
	}
	return g, list
}

// Written reports whether the project's default group is written.
func Written(r store.Reader, project string) bool {
	_, held := r.Holder(claim(project))
	return held
}

// Is reports whether the group is its project's default group, also where it is
// not written yet.
func Is(r store.Reader, g *neutrino.SecurityGroup) bool {
	id, written := r.Holder(claim(g.ProjectID))
	if !written {
		return g.ID == ID(g.ProjectID)
	}
	return neutrino.ID(id) == g.ID
}

// ShownTo is the project whose default group the ID stands for and that the caller
// may use before it is written: its own or, for who sees everything, any that the
// ID tells.
func ShownTo(c work.Caller, id neutrino.ID) (string, bool) {
	if c.ProjectID != "" && id == ID(c.ProjectID) {
		return c.ProjectID, true
	}
	if !c.All() {
		return "", false
	}
	return Project(id)
}

// Ensure writes the project's default group where it is missing, and returns its
// ID.
func Ensure(tx *work.Tx, project string) (neutrino.ID, error) {
	if id, held := tx.Holder(claim(project)); held {
		return neutrino.ID(id), nil
	}
	g, list := Of(project)
	if !tx.Claim(claim(project), string(g.ID)) {
		return "", neutrino.Errorf(neutrino.Conflict, "SecurityGroupDefaultAlreadyExists", "Default security group already exists.")
	}
	Add(tx, &g, list)
	return g.ID, nil
}

// Need writes the default group of the ID, if it is one that the caller was shown
// and that is not written yet.
func Need(tx *work.Tx, id neutrino.ID) error {
	project, ok := ShownTo(tx.Caller, id)
	if !ok {
		return nil
	}
	_, err := Ensure(tx, project)
	return err
}

// NeedRule writes the caller's default group, if the rule is one of those of it
// that were only shown so far.
func NeedRule(tx *work.Tx, rule neutrino.ID) error {
	project := tx.Caller.ProjectID
	if project == "" || Written(tx, project) {
		return nil
	}
	_, rules := Of(project)
	if !slices.ContainsFunc(rules, func(r neutrino.SecurityGroupRule) bool { return r.ID == rule }) {
		return nil
	}
	_, err := Ensure(tx, project)
	return err
}

// Forget lets the project have another default group, once this one is deleted.
func Forget(tx *work.Tx, project string) { tx.Release(claim(project)) }

// Add stores a new group with its rules.
func Add(tx *work.Tx, g *neutrino.SecurityGroup, list []neutrino.SecurityGroupRule) {
	tx.Born(g.ID, &g.Standard)
	store.Put(tx.Tx, store.SecurityGroups, g)
	for _, r := range list {
		tx.Born(r.ID, &r.Standard)
		store.Put(tx.Tx, store.SecurityGroupRules, &r)
	}
}
