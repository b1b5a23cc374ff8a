package record

import (
	"time"

	"signalbox/event"
)

func decodeRejected(b []byte, r *Rejected) error {
	for len(b) > 0 {
		f, rest, err := next(b)
		if err != nil {
			return err
		}
		b = rest
		switch f.key {
		case 1<<3 | blen:
			if err := decodeEvent(f.bytes, &r.Event); err != nil {
				return err
			}
		case 2<<3 | blen:
			r.Reason = str(f.bytes)
		}
	}
	return nil
}

func decodeRules(b []byte, r *Rules) error {
	for len(b) > 0 {
		f, rest, err := next(b)
		if err != nil {
			return err
		}
		b = rest
		switch f.key {
		case 1<<3 | blen:
			r.Version = str(f.bytes)
		case 2<<3 | vint:
			r.Part = uint32(f.value)
		case 3<<3 | vint:
			r.Parts = uint32(f.value)
		case 4<<3 | blen:
			r.Data = some(f.bytes)
		}
	}
	return nil
}

func (d *decoder) command(b []byte, c *Command) error {
	for len(b) > 0 {
		f, rest, err := next(b)
		if err != nil {
			return err
		}
		b = rest
		switch f.key {
		case 1<<3 | blen:
			c.ID = str(f.bytes)
		case 2<<3 | blen:
			c.Verb = str(f.bytes)
		case 3<<3 | blen:
			c.Run = str(f.bytes)
		case 4<<3 | blen:
			c.By = str(f.bytes)
		case 5<<3 | blen:
			c.Note = str(f.bytes)
		case 6<<3 | blen:
			c.Event = d.newEvent()
			err = decodeEvent(f.bytes, c.Event)
		case 7<<3 | blen:
			c.Original, err = decodePosition(f.bytes)
		case 8<<3 | vint:
			c.DryRun = f.value != 0
		case 9<<3 | blen:
			c.End, err = decodeTime(f.bytes)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func decodeRetention(b []byte, r *Retention) error {
	for len(b) > 0 {
		f, rest, err := next(b)
		if err != nil {
			return err
		}
		b = rest
		switch f.key {
		case 1<<3 | vint:
			r.FirstSeq = f.value
		case 2<<3 | vint:
			r.LastSeq = f.value
		case 3<<3 | vint:
			r.Records = f.value
		case 4<<3 | blen:
			r.FirstTime, err = decodeTime(f.bytes)
		case 5<<3 | blen:
			r.LastTime, err = decodeTime(f.bytes)
		case 6<<3 | blen:
			r.Reason = str(f.bytes)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) decision(b []byte, r *Decision) error {
	for len(b) > 0 {
		f, rest, err := next(b)
		if err != nil {
			return err
		}
		b = rest
		switch f.key {
		case 1<<3 | blen:
			r.At, err = decodePosition(f.bytes)
		case 2<<3 | vint:
			r.Verdict = Verdict(f.value)
		case 3<<3 | blen:
			r.Event = d.newEvent()
			err = decodeEvent(f.bytes, r.Event)
		case 4<<3 | blen:
			r.Of = event.ID(str(f.bytes))
		case 5<<3 | blen:
			r.Reason = str(f.bytes)
		case 6<<3 | blen:
			var s RunStart
			err = d.runStart(f.bytes, &s)
			r.Runs = append(r.Runs, s)
		case 7<<3 | blen:
			var n RuleNote
			err = decodeRuleNote(f.bytes, &n)
			r.Notes = append(r.Notes, n)
		case 8<<3 | blen:
			r.Command = new(Command)
			err = d.command(f.bytes, r.Command)
		case 9<<3 | vint:
			r.Replay = f.value != 0
		case 10<<3 | vint:
			r.DryRun = f.value != 0
		case 11<<3 | blen:
			r.Due, err = decodeTime(f.bytes)
		case 12<<3 | blen:
			var s SituationChange
			err = decodeSituation(f.bytes, &s)
			r.Situations = append(r.Situations, s)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) runStart(b []byte, r *RunStart) error {
	for len(b) > 0 {
		f, rest, err := next(b)
		if err != nil {
			return within("run start", err)
		}
		b = rest
		switch f.key {
		case 1<<3 | blen:
			r.Run = str(f.bytes)
		case 2<<3 | blen:
			r.Rule = str(f.bytes)
		case 3<<3 | blen:
			r.RuleVersion = str(f.bytes)
		case 4<<3 | blen:
			r.Device = str(f.bytes)
		case 5<<3 | vint:
			r.Partition = uint32(f.value)
		case 6<<3 | blen:
			ev := d.newEvent()
			if err := decodeEvent(f.bytes, ev); err != nil {
				return within("run start: event", err)
			}
			r.Events = append(r.Events, ev)
		case 7<<3 | blen:
			r.As = append(r.As, str(f.bytes))
		case 8<<3 | vint:
			r.Total = uint32(f.value)
		case 9<<3 | blen:
			r.Key = str(f.bytes)
		case 10<<3 | blen:
			r.Branch = str(f.bytes)
		case 11<<3 | blen:
			r.Situation = str(f.bytes)
		}
	}
	return nil
}

func decodeSituation(b []byte, s *SituationChange) error {
	for len(b) > 0 {
		f, rest, err := next(b)
		if err != nil {
			return within("situation", err)
		}
		b = rest
		switch f.key {
		case 1<<3 | blen:
			s.ID = str(f.bytes)
		case 2<<3 | blen:
			s.Rule = str(f.bytes)
		case 3<<3 | blen:
			s.Key = str(f.bytes)
		case 4<<3 | blen:
			s.Change = str(f.bytes)
		case 5<<3 | blen:
			s.State = str(f.bytes)
		case 6<<3 | blen:
			s.Event = event.ID(str(f.bytes))
		case 7<<3 | blen:
			s.Run = str(f.bytes)
		case 8<<3 | blen:
			s.By = str(f.bytes)
		case 9<<3 | blen:
			s.Note = str(f.bytes)
		case 10<<3 | vint:
			s.Count = uint32(f.value)
		}
	}
	return nil
}

func decodeRuleNote(b []byte, n *RuleNote) error {
	for len(b) > 0 {
		f, rest, err := next(b)
		if err != nil {
			return within("rule note", err)
		}
		b = rest
		switch f.key {
		case 1<<3 | blen:
			n.Rule = str(f.bytes)
		case 2<<3 | blen:
			n.Outcome = str(f.bytes)
		case 3<<3 | blen:
			n.Detail = str(f.bytes)
		case 4<<3 | blen:
			n.Of = event.ID(str(f.bytes))
		case 5<<3 | blen:
			n.Key = str(f.bytes)
		}
	}
	return nil
}

func decodeBegin(b []byte, s *StepBegin) error {
	for len(b) > 0 {
		f, rest, err := next(b)
		if err != nil {
			return err
		}
		b = rest
		switch f.key {
		case 1<<3 | blen:
			s.Run = str(f.bytes)
		case 2<<3 | blen:
			s.Step = str(f.bytes)
		case 3<<3 | vint:
			s.Attempt = uint32(f.value)
		case 4<<3 | blen:
			s.Action = str(f.bytes)
		case 5<<3 | vint:
			s.Idempotent = f.value != 0
		}
	}
	return nil
}

func decodeEnd(b []byte, s *StepEnd) error {
	for len(b) > 0 {
		f, rest, err := next(b)
		if err != nil {
			return err
		}
		b = rest
		switch f.key {
		case 1<<3 | blen:
			s.Run = str(f.bytes)
		case 2<<3 | blen:
			s.Step = str(f.bytes)
		case 3<<3 | vint:
			s.Attempt = uint32(f.value)
		case 4<<3 | vint:
			s.OK = f.value != 0
		case 5<<3 | vint:
			s.Skipped = f.value != 0
		case 6<<3 | blen:
			s.Output = some(f.bytes)
		case 7<<3 | blen:
			s.Error = str(f.bytes)
		case 8<<3 | vint:
			s.Recoverable = f.value != 0
		case 9<<3 | vint:
			s.Took = time.Duration(f.value)
		case 10<<3 | blen:
			s.RetryAt, err = decodeTime(f.bytes)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func decodeRunEnd(b []byte, r *RunEnd) error {
	for len(b) > 0 {
		f, rest, err := next(b)
		if err != nil {
			return err
		}
		b = rest
		switch f.key {
		case 1<<3 | blen:
			r.Run = str(f.bytes)
		case 2<<3 | vint:
			r.Outcome = Outcome(f.value)
		case 3<<3 | blen:
			r.Error = str(f.bytes)
		case 4<<3 | blen:
			r.By = str(f.bytes)
		}
	}
	return nil
}
