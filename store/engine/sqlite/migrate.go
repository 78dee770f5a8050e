package sqlite

import (
	"context"
	"database/sql"
	"errors"
)

// keyFormat is the format before this one: a table kv with a row for each
// change of a key, and indexes over them.
const keyFormat = 1

// migrate writes the changes of a database of keyFormat into the log, with
// their revisions, in one transaction.
func migrate(ctx context.Context, c *sql.Conn) (err error) {
	tx, err := c.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, tx.Rollback())
		}
	}()
	if err := copyChanges(ctx, tx); err != nil {
		return err
	}
	for _, statement := range []string{
		`DROP TABLE kv`, `UPDATE meta SET value = 2 WHERE name = 'format'`,
	} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// copyChanges copies the rows of kv, which are in the order of the history.
func copyChanges(ctx context.Context, tx *sql.Tx) error {
	rows, err := tx.QueryContext(ctx, `SELECT id, key, value, dead, lease FROM kv ORDER BY id`)
	if err != nil {
		return err
	}
	defer rows.Close()
	var chunk []byte
	var number int64 // of the chunk
	flush := func() error {
		if len(chunk) == 0 {
			return nil
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO log (id, changes) VALUES (?, ?)`, number, chunk)
		chunk = chunk[:0]
		return err
	}
	for rows.Next() {
		var id int64
		var ch change
		if err := rows.Scan(&id, &ch.Key, &ch.Value, &ch.Deleted, (*int64)(&ch.lease)); err != nil {
			return err
		}
		switch next := id >> seqBits << seqBits; {
		case number < next:
			if err := flush(); err != nil {
				return err
			}
			number = next
		case len(chunk) >= chunkSize:
			if err := flush(); err != nil {
				return err
			}
			number++
		}
		chunk = appendChange(chunk, ch)
	}
	return errors.Join(rows.Err(), flush())
}
