package eventlog_test

func child() {}
