"""Shops: clicks, carts and purchases of RetailRocket, YooChoose, Diginetica, REES46, Taobao and others."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tests.unit.inspection.layouts.layout import PICKED, TIMED, Layout, epoch, generator, lines, ratings, utc


def weighed(**weights: float) -> dict[str, object]:
    return {"mode": "implicit", "event_weights": weights}


def write_retailrocket(folder: Path) -> None:
    frame = ratings("retailrocket", values=(0, 0, 0, 1, 2)).sort_values("time", kind="stable")
    kinds = ("view", "addtocart", "transaction")
    rows = [
        f"{row.time}{at % 1000:03d},{257597 + row.user},{kinds[row.value]},{355908 + row.item},{4000 + at if row.value == 2 else ''}"
        for at, row in enumerate(frame.itertuples())
    ]
    lines(folder, "events.csv", ["timestamp,visitorid,event,itemid,transactionid", *rows])
    properties = [
        f"143{5460400 + at}000,{355908 + at % 40},{('categoryid', 'available', '888')[at % 3]},{1 + at % 4}"
        for at in range(120)
    ]
    for part in (0, 1):
        lines(
            folder,
            f"item_properties_part{part + 1}.csv",
            ["timestamp,itemid,property,value", *properties[part::2]],
        )
    lines(
        folder,
        "category_tree.csv",
        ["categoryid,parentid", *(f"{at},{at // 3 or ''}" for at in range(1, 20))],
    )


def read_retailrocket(folder: Path) -> pd.DataFrame:
    frame = pd.read_csv(folder / "events.csv", dtype={"visitorid": str, "itemid": str})
    return pd.DataFrame(
        {"user": frame.visitorid, "item": frame.itemid, "event": frame.event, "time": frame.timestamp / 1000}
    )


def write_yoochoose(folder: Path) -> None:
    frame = ratings("yoochoose")
    rows = [
        f"{row.user + 1},{utc(row.time, '%Y-%m-%dT%H:%M:%S')}.{at % 1000:03d}Z,{214536502 + row.item},{('0', 'S', '7')[at % 3]}"
        for at, row in enumerate(frame.itertuples())
    ]
    lines(folder, "yoochoose-clicks.dat", rows)
    buys = [
        f"{row.user + 1},{utc(row.time + 60, '%Y-%m-%dT%H:%M:%S')}.500Z,{214536502 + row.item},{1046 + row.item},{1 + row.value % 2}"
        for row in frame[::9].itertuples()
    ]
    lines(folder, "yoochoose-buys.dat", buys)


def read_yoochoose(folder: Path) -> pd.DataFrame:
    frame = pd.read_csv(
        folder / "yoochoose-clicks.dat", names=["user", "time", "item", "category"], dtype=str
    )
    return frame[["user", "item"]].assign(time=epoch(frame.time))


def write_diginetica(folder: Path) -> None:
    frame = ratings("diginetica")
    rows = [
        f"{row.user + 1};{row.user + 500 if row.user % 5 == 0 else 'NA'};{81766 + row.item};{at * 977};{utc(row.time, '%Y-%m-%d')}"
        for at, row in enumerate(frame.itertuples())
    ]
    lines(folder, "train-item-views.csv", ["sessionId;userId;itemId;timeframe;eventdate", *rows])
    names = ("4875,776,56689", "776,2201,5591", "56689,776")
    products = [f"{81766 + at};{5 + at % 6};{names[at % 3]}" for at in range(40)]
    lines(folder, "products.csv", ["itemId;pricelog2;product.name.tokens", *products])


def read_diginetica(folder: Path) -> pd.DataFrame:
    frame = pd.read_csv(folder / "train-item-views.csv", sep=";", dtype=str)
    return pd.DataFrame({"user": frame.sessionId, "item": frame.itemId, "time": epoch(frame.eventdate)})


def items_diginetica(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "products.csv", sep=";", dtype=str).set_index("itemId")


REES46 = ("event_time", "event_type", "product_id", "category_id", "category_code", "brand", "price", "user_id", "user_session")  # fmt: skip


def write_rees46(folder: Path) -> None:
    frame = ratings("rees46", values=(0, 0, 0, 1, 2, 3)).sort_values("time", kind="stable")
    kinds = ("view", "cart", "remove_from_cart", "purchase")
    rows = [
        f"{utc(row.time, '%Y-%m-%d %H:%M:%S')} UTC,{kinds[row.value]},{44600062 + row.item},2103807459595387724,"
        f"{'electronics.smartphone' if row.item % 2 else ''},{('', 'samsung', 'apple')[row.item % 3]},{35 + row.item}.79,"
        f"{541312140 + row.user},72d76fde-8bb3-4e00-8c23-a032dfed738c"
        for row in frame.itertuples()
    ]
    lines(folder, "2019-Oct.csv", [",".join(REES46), *rows[:250]])
    lines(folder, "2019-Nov.csv", [",".join(REES46), *rows[250:]])


def read_rees46(folder: Path) -> pd.DataFrame:
    parts = [pd.read_csv(folder / name, dtype=str) for name in ("2019-Nov.csv", "2019-Oct.csv")]
    frame = pd.concat(parts, ignore_index=True)
    return pd.DataFrame(
        {
            "user": frame.user_id,
            "item": frame.product_id,
            "event": frame.event_type,
            "time": epoch(frame.event_time.str.removesuffix(" UTC")),
        }
    )


def write_taobao(folder: Path) -> None:
    frame = ratings("taobao", values=(0, 0, 0, 1, 2, 3))
    kinds = ("pv", "cart", "fav", "buy")
    rows = [
        f"{row.user + 1},{2268318 + row.item},{2520377 + row.item % 3},{kinds[row.value]},{row.time}"
        for row in frame.itertuples()
    ]
    lines(folder, "UserBehavior.csv", rows)


def read_taobao(folder: Path) -> pd.DataFrame:
    names = ["user", "item", "category", "event", "time"]
    frame = pd.read_csv(folder / "UserBehavior.csv", names=names, dtype={"user": str, "item": str})
    return frame.drop(columns="category")


def write_hm(folder: Path) -> None:
    frame = ratings("h-and-m").sort_values("time", kind="stable")
    rows = [
        f"{utc(row.time, '%Y-%m-%d')},{row.user * 7919:064x},{108775015 + row.item * 7:010d},0.0{50 + row.item}8305084745762,{1 + row.value % 2}"
        for row in frame.itertuples()
    ]
    lines(folder, "transactions_train.csv", ["t_dat,customer_id,article_id,price,sales_channel_id", *rows])
    kinds = ("Vest top", "Bra", "Trousers")
    articles = [
        f"{108775015 + at * 7:010d},{108775 + at // 3:07d},Strap top {at},{253 + at % 3},{kinds[at % 3]},{9 + at % 5},"
        f'"Jersey top {at}, narrow straps {at}."'
        for at in range(40)
    ]
    head = "article_id,product_code,prod_name,product_type_no,product_type_name,colour_group_code,detail_desc"
    lines(folder, "articles.csv", [head, *articles])
    random = generator("customers")
    customers = [
        f"{at * 7919:064x},{'1.0' if at % 3 else ''},{'ACTIVE' if at % 4 else 'PRE-CREATE'},{random.integers(17, 80) if at % 7 else ''},{at * 99991:064x}"
        for at in range(30)
    ]
    lines(folder, "customers.csv", ["customer_id,FN,club_member_status,age,postal_code", *customers])


def read_hm(folder: Path) -> pd.DataFrame:
    frame = pd.read_csv(folder / "transactions_train.csv", dtype=str)
    return pd.DataFrame({"user": frame.customer_id, "item": frame.article_id, "time": epoch(frame.t_dat)})


def users_hm(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "customers.csv", dtype=str).set_index("customer_id")


def items_hm(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "articles.csv", dtype=str).set_index("article_id")


def write_instacart(folder: Path) -> None:
    frame = ratings("instacart", rows=500)
    orders = frame.groupby("user").head(4).reset_index(drop=True)
    rows = [
        f"{2539329 + at},{row.user + 1},prior,{1 + at % 4},{at % 7},{8 + at % 12:02d},{'' if at % 4 == 0 else f'{at % 30}.0'}"
        for at, row in enumerate(orders.itertuples())
    ]
    head = "order_id,user_id,eval_set,order_number,order_dow,order_hour_of_day,days_since_prior_order"
    lines(folder, "orders.csv", [head, *rows])
    bought = [
        f"{2539329 + at % len(orders)},{33120 + row.item},{1 + at // len(orders)},{row.value % 2}"
        for at, row in enumerate(frame.itertuples())
    ]
    lines(folder, "order_products__prior.csv", ["order_id,product_id,add_to_cart_order,reordered", *bought])
    products = [f'{33120 + at},"Organic Egg Whites, {at}",{86 + at % 3},{16 + at % 3}' for at in range(40)]
    lines(folder, "products.csv", ["product_id,product_name,aisle_id,department_id", *products])
    lines(folder, "aisles.csv", ["aisle_id,aisle", *(f"{86 + at},aisle {at}" for at in range(3))])


def write_online_retail(folder: Path) -> None:
    frame = ratings("online-retail", values=(1, 2, 6, 12, -1)).sort_values("time", kind="stable")
    rows = [
        f"{'C' if row.value < 0 else ''}{536365 + at // 5},{85123 + row.item}{'A' if row.item % 2 else ''},"
        f"{f'HEART £{row.item}' if row.item % 3 else chr(34) + 'LIGHT, WHITE' + chr(34)},{row.value},"
        f"{utc(row.time, '%-m/%-d/%Y %-H:%M')},{2 + row.item}.55,{'' if at % 10 == 3 else 17850 + row.user},United Kingdom"
        for at, row in enumerate(frame.itertuples())
    ]
    head = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
    lines(folder, "online_retail.csv", [head, *rows], "cp1252", end="\r\n")


def read_online_retail(folder: Path) -> pd.DataFrame:
    frame = pd.read_csv(folder / "online_retail.csv", encoding="cp1252", dtype=str)
    frame = frame[frame.CustomerID.notna()].reset_index(drop=True)
    return pd.DataFrame(
        {
            "user": frame.CustomerID,
            "item": frame.StockCode,
            "value": frame.Quantity.astype(float),
            "time": epoch(pd.to_datetime(frame.InvoiceDate, format="%m/%d/%Y %H:%M")),
        }
    )


def write_personalize(folder: Path) -> None:
    frame = ratings("personalize", values=(0, 0, 1, 2))
    kinds = ("click", "watch", "purchase")
    rows = [f"u{row.user},i{row.item},{row.time},{kinds[row.value]}" for row in frame.itertuples()]
    lines(folder, "interactions.csv", ["USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE", *rows])
    genres = ("Drama|Crime", "Comedy", "Drama")
    items = [f"i{at},{genres[at % 3]},{1_300_000_000 + at * 86400 * 90}" for at in range(40)]
    lines(folder, "items.csv", ["ITEM_ID,GENRES,CREATION_TIMESTAMP", *items])
    lines(
        folder, "users.csv", ["USER_ID,AGE,GENDER", *(f"u{at},{18 + at},{'MF'[at % 2]}" for at in range(30))]
    )


def read_personalize(folder: Path) -> pd.DataFrame:
    frame = pd.read_csv(folder / "interactions.csv", dtype={"USER_ID": str, "ITEM_ID": str})
    return frame.set_axis(["user", "item", "time", "event"], axis=1)


def items_personalize(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "items.csv", dtype=str).set_index("ITEM_ID")


def users_personalize(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "users.csv", dtype=str).set_index("USER_ID")


LAYOUTS = (
    Layout(
        "RetailRocket",
        write_retailrocket,
        {
            "interactions": {
                "path": "events.csv",
                "columns": {"user": "visitorid", "item": "itemid", "timestamp": "timestamp", "event": "event"},
                "timestamp_format": "milliseconds",
            },
            "label": weighed(view=0.2, addtocart=1.0, transaction=3.0),
            "split": TIMED,
        },
        read_retailrocket,
    ),
    Layout(
        "YooChoose",
        write_yoochoose,
        {
            "interactions": {
                "path": "yoochoose-clicks.dat", "header": False,
                "fields": ["session_id", "timestamp", "item_id", "category"],
                "columns": {"user": "session_id", "item": "item_id", "timestamp": "timestamp"},
                "timestamp_format": "iso8601",
            },
            "label": PICKED,
            "split": TIMED,
        },
        read_yoochoose,
        question="yoochoose-buys.dat",
    ),
    Layout(
        "Diginetica",
        write_diginetica,
        {
            "interactions": {
                "path": "train-item-views.csv", "delimiter": ";",
                "columns": {"user": "sessionId", "item": "itemId", "timestamp": "eventdate"},
                "timestamp_format": "iso8601",
            },
            "label": PICKED,
            "split": TIMED,
        },
        read_diginetica,
        items=items_diginetica,
        features=("pricelog2", "product.name.tokens"),
    ),
    Layout(
        "REES46",
        write_rees46,
        {
            "interactions": {
                "path": "2019-*.csv",
                "columns": {"user": "user_id", "item": "product_id", "timestamp": "event_time", "event": "event_type"},
                "timestamp_format": "iso8601",
            },
            "label": weighed(view=0.2, cart=1.0, purchase=3.0, remove_from_cart=0.0),
            "split": TIMED,
        },
        read_rees46,
    ),
    Layout(
        "Taobao user behavior",
        write_taobao,
        {
            "interactions": {
                "path": "UserBehavior.csv", "header": False,
                "fields": ["user_id", "item_id", "category_id", "behavior", "timestamp"],
                "columns": {"user": "user_id", "item": "item_id", "timestamp": "timestamp", "event": "behavior"},
            },
            "label": weighed(pv=0.2, buy=3.0, fav=1.0, cart=1.0),
            "split": TIMED,
        },
        read_taobao,
    ),
    Layout(
        "H&M",
        write_hm,
        {
            "interactions": {
                "path": "transactions_train.csv",
                "columns": {"user": "customer_id", "item": "article_id", "timestamp": "t_dat"},
                "timestamp_format": "iso8601",
            },
            "label": PICKED,
            "split": TIMED,
        },
        read_hm,
        users=users_hm,
        items=items_hm,
        features=("FN", "club_member_status", "age", "product_type_no", "colour_group_code", "product_code"),
    ),
    Layout("Instacart", write_instacart, recipe="join"),
    Layout(
        "Online Retail",
        write_online_retail,
        {
            "interactions": {
                "path": "online_retail.csv",
                "columns": {"user": "CustomerID", "item": "StockCode", "value": "Quantity", "timestamp": "InvoiceDate"},
                "timestamp_format": "M/d/yyyy H:mm",
                "encoding": "latin-1",
            },
            "label": {"mode": "implicit", "threshold": 1},
            "split": TIMED,
            "quarantine": {"max_share": 0.12},
        },
        read_online_retail,
        bad={"missing user": 40},
    ),
    Layout(
        "Amazon Personalize schema",
        write_personalize,
        {
            "interactions": {
                "path": "interactions.csv",
                "columns": {"user": "USER_ID", "item": "ITEM_ID", "timestamp": "TIMESTAMP", "event": "EVENT_TYPE"},
            },
            "label": weighed(click=0.2, watch=1.0, purchase=3.0),
            "split": TIMED,
        },
        read_personalize,
        users=users_personalize,
        items=items_personalize,
        features=("AGE", "GENDER", "GENRES", "CREATION_TIMESTAMP"),
    ),
)  # fmt: skip
