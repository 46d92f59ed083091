"""The day on which a debtor had paid a receivable: when all of its money was there, not when we heard of it.

What comes by the bank may be told days later; nobody is late for that.
"""

# To be joined LATERAL to a `collection`; `day` is NULL while nothing of it was shared out.
PAID_DAY = """
    (SELECT max(payment.received_on) AS day
     FROM distribution JOIN debtor_payment payment ON payment.id = distribution.payment_id
     WHERE distribution.receivable_id = collection.receivable_id)"""
