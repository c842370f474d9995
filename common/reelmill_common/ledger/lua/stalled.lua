-- Note that a worker stopped fetching or making progress, and what is done about it. ARGV: worker, what, action.
emit('worker.stalled', '', '', ARGV[1], 'what', ARGV[2], 'action', ARGV[3])
return 1
