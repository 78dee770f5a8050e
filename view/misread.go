package view

import (
	"encoding/json"
	"errors"
	"fmt"

	"neutrino"
	"neutrino/strictjson"
)

// Misread is a row of a known kind that this program does not understand: it has
// an attribute that the program does not know, or a value of another form. The
// object is in none of the maps of its [Host], as if it were not there: a part
// of it could let in what the whole keeps out.
type Misread struct {
	// Reason names the attribute.
	Reason string
	// What the object belongs to, as far as it could be read.
	Network, Group, FloatingIP, Label neutrino.ID
}

// UnknownKindError is a view with rows of a kind that this program does not know
// and may not leave out: what they mean for other objects is not known, so that
// nothing of the view can be used.
type UnknownKindError struct{ Kind string }

// Error names the kind.
func (e *UnknownKindError) Error() string {
	return fmt.Sprintf("view: rows of kind %q are not known here and may not be left out", e.Kind)
}

// misread is what is known of a row that was read with an error.
func misread(value []byte, err error) Misread {
	var refers struct {
		Network    neutrino.ID `json:"network_id"`
		Group      neutrino.ID `json:"security_group_id"`
		FloatingIP neutrino.ID `json:"floatingip_id"`
		Label      neutrino.ID `json:"metering_label_id"`
	}
	// What cannot be read is not known.
	_ = json.Unmarshal(value, &refers)
	reason := "cannot be read here: " + err.Error()
	if unknown := (*strictjson.UnknownError)(nil); errors.As(err, &unknown) {
		reason = err.Error()
	}
	const most = 300
	if len(reason) > most {
		reason = reason[:most] + "…"
	}
	return Misread{Reason: reason, Network: refers.Network, Group: refers.Group, FloatingIP: refers.FloatingIP, Label: refers.Label}
}
