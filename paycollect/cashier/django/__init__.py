"""The cashier as a Django app: put "paycollect.cashier.django" into INSTALLED_APPS, and migrate.

    store          DjangoStore: the merchant's own connection and `transaction.atomic()`
    named          finds the cashier that PAYCOLLECT_CASHIER names, for the command and the admin
    models, admin  the tables, to be read; a person decides through the cashier, never past it
    checks         what `manage.py check` says about the database and the view for webhooks
    migrations     the tables; a test compares them with `paycollect.cashier.schema`
    management     manage.py paycollect_worker

Only this folder and `paycollect.web.django` import Django.
"""
