package neutrino

import "time"

// Standard holds the attributes that most resources share: the extensions
// standard-attr-description, -revisions and -timestamp (api.md section 3.8).
type Standard struct {
	Description    string    `json:"description" api:"post,put,filter,max=255"`
	RevisionNumber int64     `json:"revision_number" api:"filter,sort"`
	CreatedAt      time.Time `json:"created_at" api:"sort"`
	UpdatedAt      time.Time `json:"updated_at" api:"sort"`
}

// Touch records a change at the given time: the revision number grows by one.
// It is called once for each transaction that changes the object.
func (s *Standard) Touch(now time.Time) {
	s.RevisionNumber++
	s.UpdatedAt = now
}
