/* The SQL text of each migration, NUL-terminated; listed in migrate.c. */
    .section .rodata
    .global store_migration_1
store_migration_1:
    .incbin "scheduler/store/schema.sql"
    .byte 0
    .section .note.GNU-stack, "", @progbits
