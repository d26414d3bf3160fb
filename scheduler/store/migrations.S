/* The SQL text of each migration, NUL-terminated; listed in migrate.c. */
    .macro migration number, file
    .global store_migration_\number
store_migration_\number:
    .incbin "\file"
    .byte 0
    .endm

    .section .rodata
    migration 1, "scheduler/store/schema.sql"
    migration 2, "scheduler/store/migration_2.sql"
    migration 3, "scheduler/store/migration_3.sql"
    migration 4, "scheduler/store/migration_4.sql"
    migration 5, "scheduler/store/migration_5.sql"
    migration 6, "scheduler/store/migration_6.sql"
    migration 7, "scheduler/store/migration_7.sql"
    migration 8, "scheduler/store/migration_8.sql"
    migration 9, "scheduler/store/migration_9.sql"
    migration 10, "scheduler/store/migration_10.sql"
    migration 11, "scheduler/store/migration_11.sql"
    .section .note.GNU-stack, "", @progbits
