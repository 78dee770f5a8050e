// Package tag is the part of the intent station that keeps the tags of objects
// (api.md section 2.28).
package tag

import (
	"slices"
	"unicode/utf8"

	"neutrino"
	"neutrino/intent/work"
	"neutrino/store"
)

// Taggable is a pointer to a noun that has tags.
type Taggable[T any] interface {
	*T
	Attributes() *neutrino.Standard
	TagList() *[]string
}

// Of are the tags of an object.
func Of[T any, P Taggable[T]](row *T) []string { return *P(row).TagList() }

// Change gives an object of the caller's the tags that change makes of its
// present ones, which change must leave as they are. A change that changes
// nothing writes nothing; any other bumps the object's revision.
func Change[T any, P Taggable[T]](tx *work.Tx, k work.Kind[T], id neutrino.ID, change func([]string) ([]string, error)) error {
	old, err := work.Find(tx, k, id)
	if err != nil {
		return err
	}
	tags, err := change(*P(old).TagList())
	if err != nil {
		return err
	}
	if slices.Equal(tags, *P(old).TagList()) {
		return nil
	}
	if err := Check(tags); err != nil {
		return err
	}
	row := *old
	*P(&row).TagList() = tags
	tx.Touch(id, P(&row).Attributes())
	store.Put(tx.Tx, k.Table, &row)
	return nil
}

// Check refuses tags that are too long or too many, or one that stands twice.
func Check(tags []string) error {
	if len(tags) > neutrino.MaxTags {
		return neutrino.Errorf(neutrino.Invalid, "BadRequest",
			"Bad tags request: %d tags are more than the %d that an object can have.", len(tags), neutrino.MaxTags)
	}
	for i, t := range tags {
		if utf8.RuneCountInString(t) > neutrino.MaxTagLength {
			return neutrino.Invalidf("tag '%s' exceeds maximum length of %d", short(t), neutrino.MaxTagLength)
		}
		if slices.Contains(tags[:i], t) {
			return neutrino.Invalidf("tag '%s' stands twice in the list", t)
		}
	}
	return nil
}

// short is enough of a tag to know it by.
func short(t string) string { return string([]rune(t)[:60]) + "…" }

// Replace are the tags instead of the present ones.
func Replace(tags []string) func([]string) ([]string, error) {
	return func([]string) ([]string, error) { return slices.Clone(tags), nil }
}

// Add are the tags after the present ones, where they are not there yet.
func Add(tags ...string) func([]string) ([]string, error) {
	return func(old []string) ([]string, error) {
		all := slices.Clone(old)
		for _, t := range tags {
			if !slices.Contains(all, t) {
				all = append(all, t)
			}
		}
		return all, nil
	}
}

// Remove is without the tag. The error is NotFound when it is not there.
func Remove(t string) func([]string) ([]string, error) {
	return func(old []string) ([]string, error) {
		i := slices.Index(old, t)
		if i < 0 {
			return nil, Missing(t)
		}
		return slices.Delete(slices.Clone(old), i, i+1), nil
	}
}

// Missing is the 404 of a tag.
func Missing(t string) error {
	return neutrino.Errorf(neutrino.NotFound, "TagNotFound", "Tag %s could not be found.", t)
}
