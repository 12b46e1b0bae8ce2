"""QEMU's names of the states of a migration (query-migrate). test_schema.py compares this with each QEMU's schema."""
STAYED = ('failed', 'cancelled')  # the migration has ended, and the guest is at the source
ENDED = ('completed', *STAYED)
ON_THE_WAY = ('none', 'setup', 'wait-unplug', 'active', 'pre-switchover', 'device', 'postcopy-device', 'postcopy-active',
              'postcopy-paused', 'postcopy-recover-setup', 'postcopy-recover', 'cancelling', 'failing', 'colo')
